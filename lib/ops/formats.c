/* SPDX-License-Identifier: MIT */
#include "ops/formats.h"

const struct pf_format *const pf_formats[] = {
	&pf_format_arm64_4k,
	&pf_format_fake_inv,
	&pf_format_fake_nz,
	&pf_format_fake_2w,
	NULL,
};
