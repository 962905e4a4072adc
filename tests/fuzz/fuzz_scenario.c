// SPDX-License-Identifier: MIT
/*
 * libFuzzer: the readers of scenarios and of strace's logs. Whatever the bytes, they answer with a file or with
 * an error that has a line, and every value of the file can be evaluated.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/scenario.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void evaluate(const struct sc_value *v, const struct sc_env *env)
{
	uint64_t n;
	const char *why;

	for (; v; v = v->next)
		if (!sc_eval(v, env, &n, &why) && !why)
			abort();
}

static void visit(const struct sc_stmt *s, const struct sc_env *env)
{
	for (; s; s = s->next) {
		evaluate(s->args, env);
		evaluate(s->number, env);
		for (const struct sc_result *r = s->results; r; r = r->next)
			evaluate(r->value, env);
		visit(s->body, env);
	}
}

static void try(struct sc_file *f, const struct sc_error *err, size_t size)
{
	if (!f) {
		if (!err->line || err->line > size + 1 || !err->text[0])
			abort();
		return;
	}
	uint64_t *vars = calloc(f->nvars + 1, sizeof(*vars));
	const struct sc_env env = {
		.page = 4096, .block = 65536, .pmd = 1 << 21, .pud = 1 << 30, .vars = vars};

	visit(f->stmts, &env);
	free(vars);
	sc_file_free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sc_error err = {0};

	try(sc_parse("fuzz", (const char *)data, size, &err), &err, size);
	memset(&err, 0, sizeof(err));
	try(sc_parse_strace("fuzz", (const char *)data, size, &err), &err, size);
	return 0;
}
