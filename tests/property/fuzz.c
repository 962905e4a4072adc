// SPDX-License-Identifier: MIT
/*
 * libFuzzer: programs drawn from its bytes. The first byte chooses the format, the next two the settings, the rest
 * are the choices. A program that fails is printed as a scenario, as long as it is.
 */
#include <stdio.h>
#include <stdlib.h>

#include "play.h"

#define STEPS 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pf_format *const *f = pf_formats;
	unsigned nformats = 0, first;
	struct program g;
	struct played p;

	if (size < 4)
		return -1;
	while (f[nformats])
		nformats++;
	program_draw(&g, f[data[0] % nformats], data[1] | (unsigned)data[2] << 8, STEPS, data + 3,
		size - 3);
	program_play(&g, 4, &p);
	if (p.failed) {
		char *text = program_text(&g, &first);

		fprintf(stderr, "# pagefold run --seed %llu\n%s# %s\n", (unsigned long long)g.seed,
			text, p.why ? p.why : "?");
		abort();
	}
	free(p.why);
	program_free(&g);
	return 0;
}
