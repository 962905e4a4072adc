/* SPDX-License-Identifier: MIT */
#include "port/port.h"

struct recorder recorder;
