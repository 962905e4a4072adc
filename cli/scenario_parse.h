/* SPDX-License-Identifier: MIT */
/*
 * What the readers of statements share: the file being read, who lives in it, and what it uses that
 * is not built yet.
 */
#ifndef CLI_SCENARIO_PARSE_H
#define CLI_SCENARIO_PARSE_H

#include "cli/scenario_lex.h"

struct sc_parser {
	struct sc_file *file;
	struct sc_line l;
	struct sc_stmt **tail; /* where the next statement goes */
	unsigned pid;          /* of the statement before */
	struct sc_names *files;
	struct sc_pids *alive;
	uint32_t set_before; /* settings seen, to refuse a second one */
	bool calls_begun;
	bool threads_seen;
};

/* The first thing that is not built is what the file is refused for. */
void sc_unsupported(struct sc_line *l, const char *name);

/* scenario_settings.c: the rest of a line that begins with @. */
void sc_read_setting(struct sc_parser *ps);

/* A file that calls can map; size NULL: not known, however long. False: there is one of that name. */
bool sc_made_file_add(struct sc_line *l, const char *name, struct sc_value *size);

/* scenario_call.c: a call with its arguments and results; scenario_expect.c: what follows `expect`. */
void sc_read_call(struct sc_parser *ps, struct sc_stmt *s);
void sc_read_expect(struct sc_parser *ps, struct sc_stmt *s);
void sc_read_pred(struct sc_parser *ps, struct sc_stmt *s);
/* "[pid N]", when "[" comes next; 0 if there is none. */
unsigned sc_read_pid(struct sc_parser *ps);
unsigned sc_small_number(struct sc_line *l, const char *what, unsigned max);

bool sc_pid_alive(struct sc_parser *ps, unsigned pid);
void sc_pid_add(struct sc_parser *ps, unsigned pid);
void sc_pid_remove(struct sc_parser *ps, unsigned pid);
unsigned sc_pid_lowest_free(struct sc_parser *ps);
void sc_file_add(struct sc_parser *ps, const char *name);

struct sc_stmt *sc_new_stmt(struct sc_parser *ps, enum sc_stmt_kind kind);

#endif
