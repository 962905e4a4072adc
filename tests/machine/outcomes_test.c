// SPDX-License-Identifier: MIT
/*
 * The explorer leaves out schedules that come to what another came to, and points at which nobody else is met. It must not leave
 * out an end: what schedules drawn at random end in, some schedule within bounds ends in, too.
 */
#include <string.h>

#include "machine/apart.h"
#include "machine/explore.h"
#include "rig.h"

#define DRAWN (EXPLORE_FEW ? EXPLORE_FEW : 3000u)
/* A word that is no entry of a page: software's own. */
#define NOTE(n) ((uint64_t)(n) << 8)

static uint64_t frame, copy; /* two pages, one after the other; one */
static uint64_t got[3];
static uint64_t *ends; /* kept: bits */

/* What was got, in two bits: a note, or a page without A, or with. */
static unsigned digit(uint64_t v)
{
	return v & A_VALID ? 1 + !!(v & A_AF) : (unsigned)(v >> 8 & 3);
}

static bool after(void *ctx, const char *stopped)
{
	(void)ctx;
	*ends |= UINT64_C(1) << (digit(got[0]) * 16 + digit(got[1]) * 4 + digit(got[2]));
	return !stopped;
}

static uint64_t explore(
	void (*a)(void *), void (*b)(void *), bool walker, struct explore_bounds bounds)
{
	const struct explore_plan plan = {.threads = {{0, a, NULL}, {1, b, NULL}},
		.nthreads = 2,
		.walkers = {{1, VA(1), 1, 4096}},
		.nwalkers = walker,
		.bounds = bounds,
		.after = after};
	struct explore_result r;
	uint64_t set;

	rig_start("arm64-4k", "", 1);
	frame = rig_folio(2);
	copy = rig_folio(1);
	memset(pf_port_virt(frame), 0, 8192);
	memset(pf_port_virt(copy), 0, 4096);
	lock();
	st(1, frame | A_OLD);
	unlock();
	publish();
	memset(got, 0, sizeof(got));
	ends = kept_alloc(sizeof(*ends));
	*ends = 0;
	assert_int_equal(machine_explore(&plan, &r), 0);
	if (r.failed)
		fail_msg("wrong: %s", r.token);
	assert_true(r.exhausted == !bounds.random);
	set = *ends;
	kept_release();
	machine_stop();
	return set;
}

/* nr: so many ends there are, or the test says less than it should. */
static void compare(
	void (*a)(void *), void (*b)(void *), bool walker, struct explore_bounds within, int nr)
{
	const struct explore_bounds some = {.random = DRAWN, .seed = 1};
	const uint64_t all = explore(a, b, walker, within);
	const uint64_t drawn = explore(a, b, walker, some);

	if (drawn & ~all)
		fail_msg("ends drawn, and not found within bounds: %llx",
			(unsigned long long)(drawn & ~all));
	assert_int_equal(__builtin_popcountll(all), nr);
}

static const struct explore_bounds bounds = {.preemptions = 2, .choices = 2};

/* ---- plain stores, which a reader without the lock may miss ---- */

static void stores_two(void *arg)
{
	(void)arg;
	lock();
	st(2, NOTE(1));
	st(3, NOTE(1));
	unlock();
}

static void loads_two(void *arg)
{
	(void)arg;
	got[0] = ld(3);
	got[1] = ld(2);
}

static void late_stores(void **state)
{
	(void)state;
	compare(stores_two, loads_two, false, bounds, 4);
}

/* The unlock, and nothing behind it, shows the last. */
static void stores_twice(void *arg)
{
	(void)arg;
	lock();
	st(2, NOTE(1));
	st(2, NOTE(2));
	unlock();
}

static void loads_twice(void *arg)
{
	(void)arg;
	got[0] = ld(2);
	got[1] = ld(2);
}

static void last_store(void **state)
{
	(void)state;
	compare(stores_twice, loads_twice, false, bounds, 6);
}

/* Nor may a release be passed by, of an entry that nobody else reads: it shows what was stored before. */
static void stores_and_shows(void *arg)
{
	(void)arg;
	lock();
	st(2, NOTE(1));
	st(3, NOTE(1));
	pf_port_entry_store(rig_slot(rig.table[0], 4), NOTE(1), true);
	unlock();
}

static void shown_stores(void **state)
{
	(void)state;
	compare(stores_and_shows, loads_two, false, bounds, 4);
}

/* ---- what pages contain ---- */

static void write_word(uint64_t pa, uint64_t n)
{
	*(uint64_t *)pf_port_data(pa, 8, true) = NOTE(n);
}

static uint64_t read_word(uint64_t pa)
{
	return *(uint64_t *)pf_port_data(pa, 8, false);
}

static void writes(void *arg)
{
	(void)arg;
	write_word(frame, 1);
	write_word(frame + 4096, 1);
	pf_port_clear_pages(frame, 4096);
}

static void copies(void *arg)
{
	(void)arg;
	got[0] = read_word(frame + 4096);
	pf_port_copy_pages(copy, frame, 4096);
	got[1] = read_word(copy);
	got[2] = read_word(frame);
}

static void contents(void **state)
{
	(void)state;
	compare(writes, copies, false, bounds, 7);
}

/* ---- translations ---- */

static void unmaps(void *arg)
{
	(void)arg;
	lock();
	xc(1, 0);
	unlock();
	flush(1, 1);
	got[2] = NOTE(1);
}

static void accesses(void *arg)
{
	uint64_t v;

	(void)arg;
	got[0] = NOTE(1 + machine_load(VA(1), &v).fault);
	got[1] = NOTE(1 + machine_load(VA(1), &v).fault);
}

static void stale_translation(void **state)
{
	(void)state;
	compare(unmaps, accesses, false, bounds, 4);
}

/* ---- hardware's A ---- */

static void takes(void *arg)
{
	(void)arg;
	lock();
	got[0] = xc(1, 0);
	unlock();
	flush(1, 1);
}

static void looks(void *arg)
{
	(void)arg;
	got[1] = ld(1);
	got[2] = ld(1);
}

static void walker(void **state)
{
	(void)state;
	compare(takes, looks, true, bounds, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_stores),
		cmocka_unit_test(last_store),
		cmocka_unit_test(shown_stores),
		cmocka_unit_test(contents),
		cmocka_unit_test(stale_translation),
		cmocka_unit_test(walker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
