/* SPDX-License-Identifier: MIT */
/*
 * The formats of this build, by id.
 */
#ifndef PF_OPS_FORMATS_H
#define PF_OPS_FORMATS_H

#include "ops/ops.h"

extern const struct pf_format pf_format_arm64_4k;
extern const struct pf_format pf_format_fake_inv;
extern const struct pf_format pf_format_fake_nz;
extern const struct pf_format pf_format_fake_2w;

#endif
