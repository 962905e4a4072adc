/* SPDX-License-Identifier: MIT */
/*
 * fake-2w: the two words act as one entry, whatever lies between two steps. The accessors run on
 * hooks of this file, which keep every state that memory goes through; then
 *
 *   - every state on the way from any entry to any other reads as the old one, the new one or none;
 *   - a CPU that sets A and D before any one step loses neither;
 *   - a reader whose loads fall anywhere within two such changes gets an entry that was there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "port/port.h"

#define STATES 64u

static struct {
	uint32_t lo, hi; /* memory: the accessors get pointers to it */
	uint32_t seen_lo[STATES], seen_hi[STATES];
	unsigned states; /* how many were seen; the last one is memory now */
	unsigned steps;  /* accesses of the current operation */
	unsigned cpu_at; /* a CPU writes through the entry before that access; STATES = never */
	bool cpu_wrote;
	bool reading; /* loads come from the states at when[], in turn, and then from the last one
		       */
	unsigned when[4], loads;
} mem;

static void note(void)
{
	assert_in_range(mem.states, 0, STATES - 1);
	mem.seen_lo[mem.states] = mem.lo;
	mem.seen_hi[mem.states++] = mem.hi;
}

/* A and D of a valid, writable leaf, from docs/FAKE.md: valid 0, W 1, table 4, A 5, D 6. */
static void step(void)
{
	if (mem.steps++ == mem.cpu_at && (mem.lo & 0x13) == 0x3) {
		mem.lo |= 0x60;
		mem.cpu_wrote = true;
		note();
	}
}

static uint32_t hook_load(const uint32_t *p)
{
	unsigned at;

	if (!mem.reading) {
		step();
		return *p;
	}
	at = mem.loads < 4 ? mem.when[mem.loads] : mem.states - 1;
	mem.loads++;
	return p == &mem.lo ? mem.seen_lo[at] : mem.seen_hi[at];
}

static void hook_store(uint32_t *p, uint32_t v, bool release)
{
	step();
	assert_true(release);
	*p = v;
	note();
}

static uint32_t hook_xchg(uint32_t *p, uint32_t v)
{
	uint32_t old;

	step();
	old = *p;
	*p = v;
	note();
	return old;
}

static bool hook_cas(uint32_t *p, uint32_t *old, uint32_t v)
{
	step();
	if (*p != *old) {
		*old = *p;
		return false;
	}
	*p = v;
	note();
	return true;
}

#define pf_port_entry_load32  hook_load
#define pf_port_entry_store32 hook_store
#define pf_port_entry_xchg32  hook_xchg
#define pf_port_entry_cas32   hook_cas
#include "fmt/contract.h"

#if !PF_JUDGE
#error "the hooks exist in the judging build only"
#endif

#define RW (PF_PTE_R | PF_PTE_W)

/* Frames that differ in the low word only, in the high word only, and in both; likewise offsets. */
static pf_hw_t entry(unsigned i)
{
	const pf_pte_t e[] = {
		pf_pte(0),
		pf_pte_mk(0x12345, RW),
		pf_pte_mk(0x12345, RW | PF_PTE_A | PF_PTE_D),
		pf_pte_mk(0x12345, PF_PTE_R),
		pf_pte_mk(0x12346, RW),
		pf_pte_mk(0x700012345, RW),
		pf_pte_mk(0x700012345, PF_PTE_R | PF_PTE_A),
		pf_pte_mk(0x800054321, RW),
		pf_pte_mk(0x12345, 0),
		pf_pte_mk(0x700012345, PF_PTE_SOFT_DIRTY),
		pf_pte_swap(0, 0, 0),
		pf_pte_swap(3, 0x12345, 0),
		pf_pte_swap(3, 0x70012345, 0),
		pf_pte_swap(3, 0x70012345, PF_PTE_EXCLUSIVE),
		pf_pte_migration(0x700012345, PF_MIG_WRITE, PF_PTE_D),
		pf_pte_marker(PF_MARKER_GUARD),
	};

	return i < PF_ARRAY_SIZE(e) ? pf_hw_encode(e[i], 0, false) : pf_hw_mktable(0x700012345000);
}

#define ENTRIES 17u

static pf_hw_t *slot(void)
{
	return (pf_hw_t *)&mem.lo;
}

static void start(pf_hw_t v)
{
	mem.lo = v.lo;
	mem.hi = v.hi;
	mem.states = 0;
	mem.cpu_at = STATES;
	mem.cpu_wrote = mem.reading = false;
	note();
}

static pf_hw_t state_at(unsigned i)
{
	return (pf_hw_t){.lo = mem.seen_lo[i], .hi = mem.seen_hi[i]};
}

/* The entry with A and D as a CPU may have left them. */
static bool same_but_ad(pf_hw_t a, pf_hw_t b)
{
	a.lo |= 0x60;
	b.lo |= 0x60;
	return pf_hw_same(a, b) || (pf_hw_none(a) && pf_hw_none(b));
}

enum op { STORE, XCHG, CAS, OPS };

/* What the operation says was there. A CAS is repeated with what it found, as its callers do. */
static pf_hw_t run(enum op op, pf_hw_t old, pf_hw_t v)
{
	mem.steps = 0;
	if (op == XCHG)
		return pf_hw_xchg(slot(), v);
	if (op == STORE)
		pf_hw_store(slot(), v);
	else
		while (!pf_hw_cas(slot(), &old, v))
			;
	return old;
}

static void check_run(enum op op, pf_hw_t old, pf_hw_t v, unsigned cpu_at)
{
	pf_hw_t found;

	start(old);
	mem.cpu_at = cpu_at;
	found = run(op, old, v);
	assert_true(same_but_ad(found, old));
	assert_true(same_but_ad(state_at(mem.states - 1), v));
	for (unsigned i = 0; i < mem.states; i++) {
		pf_hw_t s = state_at(i);

		if (!pf_hw_none(s) && !same_but_ad(s, old) && !same_but_ad(s, v))
			fail_msg("op %d: %x,%x to %x,%x passes through %x,%x", op, old.lo, old.hi,
				v.lo, v.hi, s.lo, s.hi);
	}
	/* a CPU's D is in what the operation found or in what is there now */
	if (mem.cpu_wrote && op != STORE && !pf_hw_dirty(found) && !pf_hw_dirty(pf_hw_load(slot())))
		fail_msg("op %d: %x,%x to %x,%x loses D before access %u", op, old.lo, old.hi, v.lo,
			v.hi, cpu_at);
}

static void test_steps(void **state)
{
	(void)state;
	for (enum op op = STORE; op < OPS; op++)
		for (unsigned a = 0; a < ENTRIES; a++)
			for (unsigned b = 0; b < ENTRIES; b++)
				for (unsigned at = 0; at <= 8; at++)
					check_run(op, entry(a), entry(b), at);
}

/* Hardware that writes between the reading and the exchange is not overwritten. */
static void test_cas_failure(void **state)
{
	pf_hw_t old = entry(1), v = pf_hw_wrprotect(old);

	(void)state;
	start(old);
	mem.lo |= 0x60;
	assert_false(pf_hw_cas(slot(), &old, v));
	assert_true(pf_hw_same(old, entry(2)));
	assert_true(pf_hw_same(pf_hw_load(slot()), entry(2)));
	/* the same between the two reads of the CAS itself */
	start(entry(1));
	old = entry(1);
	mem.steps = 0;
	mem.cpu_at = 2;
	assert_false(pf_hw_cas(slot(), &old, v));
	assert_true(mem.cpu_wrote);
	assert_true(pf_hw_same(old, entry(2)));
}

static void read_when(unsigned a, unsigned b, unsigned c, unsigned d)
{
	mem.when[0] = a;
	mem.when[1] = b;
	mem.when[2] = c;
	mem.when[3] = d;
	mem.loads = 0;
	mem.reading = true;
}

static pf_hw_t read_at(unsigned a, unsigned b, unsigned c, unsigned d)
{
	pf_hw_t v;

	read_when(a, b, c, d);
	v = pf_hw_load(slot());
	mem.reading = false;
	return v;
}

/* The reading that is not begun again: four loads. If it answers, then with an entry that was there during these. */
static void check_once(unsigned a, unsigned b, unsigned c, unsigned d)
{
	bool found = false;
	pf_hw_t v;

	read_when(a, b, c, d);
	if (pf_hw_load_lockless(slot(), &v)) {
		for (unsigned i = a; i <= d; i++)
			found |= pf_hw_same(v, state_at(i)) ||
				 (pf_hw_none(v) && pf_hw_none(state_at(i)));
		if (!found)
			fail_msg("a mixture, at once: %x,%x", v.lo, v.hi);
	} else {
		assert_true(a < d);
	}
	assert_int_equal(mem.loads, 4);
	mem.reading = false;
}

/* An entry that was there between the first and the last of four loads, or after them. */
static void check_readers(void)
{
	unsigned n = mem.states;

	for (unsigned a = 0; a < n; a++)
		for (unsigned b = a; b < n; b++)
			for (unsigned c = b; c < n; c++)
				for (unsigned d = c; d < n; d++) {
					pf_hw_t v = read_at(a, b, c, d);
					bool found = false;

					check_once(a, b, c, d);
					for (unsigned i = a; i < n; i++)
						found |= pf_hw_same(v, state_at(i)) ||
							 (pf_hw_none(v) && pf_hw_none(state_at(i)));
					if (!found)
						fail_msg("a mixture: %x,%x", v.lo, v.hi);
				}
}

static void test_readers(void **state)
{
	(void)state;
	for (unsigned a = 0; a < ENTRIES; a++)
		for (unsigned b = 0; b < ENTRIES; b++)
			for (unsigned c = 0; c < ENTRIES; c++) {
				start(entry(a));
				run(XCHG, entry(a), entry(b));
				run(XCHG, entry(b), entry(c));
				check_readers();
			}
}

/* Why there are two rounds: low, high, low is deceived by an entry that goes and comes back. */
static void test_one_round_is_not_enough(void **state)
{
	bool deceived = false;

	(void)state;
	start(entry(5));
	run(XCHG, entry(5), entry(0));
	run(XCHG, entry(0), entry(5));
	for (unsigned i = 0; i < mem.states; i++)
		deceived |= mem.seen_lo[0] == mem.seen_lo[mem.states - 1] &&
			    mem.seen_hi[i] != mem.seen_hi[0];
	assert_true(deceived);
	check_readers();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_cas_failure),
		cmocka_unit_test(test_readers),
		cmocka_unit_test(test_one_round_is_not_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
