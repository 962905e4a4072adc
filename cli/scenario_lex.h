/* SPDX-License-Identifier: MIT */
/*
 * Reading one line of a scenario: characters, words, numbers; and the memory a file is read into.
 */
#ifndef CLI_SCENARIO_LEX_H
#define CLI_SCENARIO_LEX_H

#include <setjmp.h>
#include "cli/scenario.h"

/* Memory of one file, freed as a whole. */
struct sc_arena;
void *sc_alloc(
	struct sc_arena **arena, size_t bytes); /* zeroed; ends the program when there is none */
char *sc_strndup(struct sc_arena **arena, const char *s, size_t len);
void sc_arena_free(struct sc_arena *arena);

/* A line being read. An error leaves by longjmp to sc_line.fail: every reader may assume success. */
struct sc_line {
	const char *p, *end;
	unsigned line;
	struct sc_file *file;
	struct sc_error *err;
	bool lenient; /* a log: unknown names are 0 and unknown calls are skipped */
	unsigned depth;
	jmp_buf *fail;
};

_Noreturn void sc_fail(struct sc_line *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Blanks and comments of the C kind. */
void sc_skip(struct sc_line *l);
bool sc_at_end(struct sc_line *l);
/* Skip blanks; if the punctuation or text `s` follows, take it. */
bool sc_accept(struct sc_line *l, const char *s);
void sc_expect(struct sc_line *l, const char *s, const char *what);
/* A word [A-Za-z_][A-Za-z0-9_]*, or NULL if none follows. */
const char *sc_word(struct sc_line *l);
/* The word that follows, not taken, is `s`. */
bool sc_peek_word(struct sc_line *l, const char *s);
/* What follows, for messages: at most a few words, quoted. */
const char *sc_found(struct sc_line *l);
/* Unsigned integer without unit; false if none follows. */
bool sc_integer(struct sc_line *l, uint64_t *n);
/* The next run of characters that are neither blank nor in `stop`; NULL if there is none. */
const char *sc_chunk(struct sc_line *l, const char *stop);

/* scenario_value.c: one argument, and one sum (no |, no =>). */
struct sc_value *sc_value(struct sc_line *l);
struct sc_value *sc_sum(struct sc_line *l);
/* scenario_parse.c: the index of a $name that has a value by now. */
unsigned sc_use_var(struct sc_line *l, const char *name);
/* scenario_parse.c: something in a log was passed over. */
void sc_note(struct sc_line *l, const char *kind, const char *name);
/* A file made by @file or @dax has that name. */
bool sc_is_file(struct sc_line *l, const char *name);

#endif
