/* SPDX-License-Identifier: MIT */
/*
 * Running `pagefold replay --json` in a test, and looking at what it says.
 */
#ifndef TESTS_TLBMODEL_REPLAYING_H
#define TESTS_TLBMODEL_REPLAYING_H

#include <json-c/json.h>
#include <stdint.h>

/* For mkdtemp(): where recordings are. */
extern char replay_dir[];
/* A file there; the last four are kept. */
const char *path(const char *name);

/* Its arguments, up to NULL. The exit status; *out is what it printed, or NULL if that was not JSON. */
int replay(struct json_object **out, ...);
struct json_object *config(struct json_object *all, const char *name);
/* A number by its path: "data.accesses". */
int64_t get(struct json_object *o, const char *name);
void expect(struct json_object *o, const char *name, int64_t want, unsigned line);

#define EXPECT(o, name, want) expect(o, name, (int64_t)(want), __LINE__)

#define EXPECT_NEAR(o, name, want, tolerance)                                                      \
	do {                                                                                       \
		double got_ = (double)get(o, name), want_ = (want);                                \
		if (got_ < want_ * (1 - (tolerance)) || got_ > want_ * (1 + (tolerance)))          \
			fail_msg("%s is %.0f, expected %.0f", name, got_, want_);                  \
	} while (0)

#endif
