/* SPDX-License-Identifier: MIT */
/* arm64 with the 4K granule: the geometry is in arm64_4k_geo.h, the rest is the same for all
 * granules. */
#ifndef PF_FMT_ARM64_4K_H
#define PF_FMT_ARM64_4K_H

#include "fmt/arm64.h"

#endif
