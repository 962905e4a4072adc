// SPDX-License-Identifier: MIT
/* Characters, words and numbers of a line; the memory that a scenario is read into. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/scenario_lex.h"

#define SC_CHUNK 4096

struct sc_arena {
	struct sc_arena *next;
	size_t used, size;
	_Alignas(max_align_t) char data[];
};

void *sc_alloc(struct sc_arena **arena, size_t bytes)
{
	struct sc_arena *a = *arena;

	bytes = (bytes + 15) & ~(size_t)15;
	if (!a || a->size - a->used < bytes) {
		size_t size = bytes > SC_CHUNK ? bytes : SC_CHUNK;

		a = calloc(1, sizeof(*a) + size);
		if (!a) {
			fprintf(stderr, "pagefold: out of memory\n");
			exit(2);
		}
		a->size = size;
		a->next = *arena;
		*arena = a;
	}
	a->used += bytes;
	return a->data + a->used - bytes;
}

char *sc_strndup(struct sc_arena **arena, const char *s, size_t len)
{
	char *d = sc_alloc(arena, len + 1);

	memcpy(d, s, len);
	return d;
}

void sc_arena_free(struct sc_arena *arena)
{
	while (arena) {
		struct sc_arena *next = arena->next;

		free(arena);
		arena = next;
	}
}

void sc_fail(struct sc_line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->err->text, sizeof(l->err->text), fmt, ap);
	va_end(ap);
	/* Names are quoted from the file: a message must stay one line of printable ASCII. */
	for (char *c = l->err->text; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	l->err->line = l->line;
	longjmp(*l->fail, 1);
}

void sc_skip(struct sc_line *l)
{
	for (;;) {
		while (l->p < l->end && (*l->p == ' ' || *l->p == '\t'))
			l->p++;
		if (l->end - l->p < 2 || l->p[0] != '/' || l->p[1] != '*')
			return;
		const char *q = l->p + 2;

		while (l->end - q >= 2 && (q[0] != '*' || q[1] != '/'))
			q++;
		if (l->end - q < 2)
			sc_fail(l, "a comment that does not end, expected '*/' on this line");
		l->p = q + 2;
	}
}

bool sc_at_end(struct sc_line *l)
{
	sc_skip(l);
	return l->p == l->end;
}

bool sc_accept(struct sc_line *l, const char *s)
{
	size_t n = strlen(s);

	sc_skip(l);
	if ((size_t)(l->end - l->p) < n || memcmp(l->p, s, n))
		return false;
	l->p += n;
	return true;
}

void sc_expect(struct sc_line *l, const char *s, const char *what)
{
	if (!sc_accept(l, s))
		sc_fail(l, "%s, expected '%s' %s", sc_found(l), s, what);
}

static bool word_char(char c, bool first)
{
	return isalpha((unsigned char)c) || c == '_' || (!first && isdigit((unsigned char)c));
}

const char *sc_word(struct sc_line *l)
{
	sc_skip(l);
	const char *s = l->p;

	while (l->p < l->end && word_char(*l->p, l->p == s))
		l->p++;
	return l->p == s ? NULL : sc_strndup(&l->file->arena, s, (size_t)(l->p - s));
}

bool sc_peek_word(struct sc_line *l, const char *s)
{
	size_t n = strlen(s);

	sc_skip(l);
	return (size_t)(l->end - l->p) >= n && !memcmp(l->p, s, n) &&
	       ((size_t)(l->end - l->p) == n || !word_char(l->p[n], false));
}

const char *sc_found(struct sc_line *l)
{
	static const size_t most = 24;
	size_t n = (size_t)(l->end - l->p);

	if (!n)
		return "the line ends here";
	char *s = sc_alloc(&l->file->arena, most + 8);

	snprintf(s, most + 8, "'%.*s%s'", (int)(n < most ? n : most), l->p, n > most ? "..." : "");
	return s;
}

bool sc_integer(struct sc_line *l, uint64_t *n)
{
	sc_skip(l);
	const char *s = l->p;
	unsigned base = 10;
	uint64_t v = 0;

	if (l->end - s >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	const char *digits = s;

	for (; s < l->end; s++) {
		unsigned c = (unsigned char)*s, d;

		if (isdigit((int)c))
			d = c - '0';
		else if (base == 16 && isxdigit((int)c))
			d = (unsigned)tolower((int)c) - 'a' + 10;
		else
			break;
		if (v > (UINT64_MAX - d) / base)
			sc_fail(l, "%s is too large, expected a number below 2^64", sc_found(l));
		v = v * base + d;
	}
	if (s == digits) {
		if (base == 16)
			sc_fail(l, "%s, expected hexadecimal digits after 0x", sc_found(l));
		return false;
	}
	l->p = s;
	*n = v;
	return true;
}

const char *sc_chunk(struct sc_line *l, const char *stop)
{
	sc_skip(l);
	const char *s = l->p;

	while (l->p < l->end && *l->p != ' ' && *l->p != '\t' && !strchr(stop, *l->p))
		l->p++;
	return l->p == s ? NULL : sc_strndup(&l->file->arena, s, (size_t)(l->p - s));
}
