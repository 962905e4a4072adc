/* SPDX-License-Identifier: MIT */
/*
 * The event log (docs/LOG.md): one event a line, `SEQ CPU KIND field=value...`, addresses and words in
 * hexadecimal without 0x.
 */
#include "judge.h"

#if PF_JUDGE
#include <stdarg.h>
#include <stdio.h>

static FILE *out;

bool mj_log_start(const char *file)
{
	out = file ? fopen(file, "w") : NULL;
	return !file || out;
}

void mj_log_stop(void)
{
	if (out)
		fclose(out);
	out = NULL;
}

void mj_log_flush(void)
{
	if (out)
		fflush(out);
}

bool mj_logging(void)
{
	return out;
}

void mj_log(const char *fmt, ...)
{
	va_list ap;

	if (PF_LIKELY(!out))
		return;
	fprintf(out, "%llu %u ", (unsigned long long)mj.seq, mj.cpu);
	va_start(ap, fmt);
	vfprintf(out, fmt, ap);
	va_end(ap);
	putc('\n', out);
}

#endif
