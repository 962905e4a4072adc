/* SPDX-License-Identifier: MIT */
/*
 * Contract suite: the accessors. In a judging build every access must go through the port's hooks;
 * there the port keeps entries XORed with a pattern, so that an access past the hooks reads
 * rubbish.
 */
#include <pthread.h>
#include <sched.h>

#include "suite.h"

#define SLOTS 16u
#define MANY  100000u

static _Alignas(64) pf_hw_t table[SLOTS];
static pf_hw_t shadow[SLOTS]; /* what the accessors were asked to write */

static pf_hw_t rnd_word(void)
{
	switch (rnd_below(5)) {
	case 0:
		return pf_hw_empty();
	case 1:
		return pf_hw_encode(rnd_softleaf(), 0, false);
	case 2:
		return pf_hw_mktable(pf_align_down(rnd() & PF_MASK(suite_x->frame_bits + 11, 0),
			pf_max(PF_PAGE_SIZE, PF_TABLE_BYTES)));
	default:
		return rnd_worn_sample().hw;
	}
}

static void check_slots(const char *after)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		pf_hw_t got = pf_hw_load(&table[i]);

		CHECK(pf_hw_same(got, shadow[i]), "after %s: slot %u holds %s, not %s", after, i,
			hw_text(got), hw_text(shadow[i]));
	}
#if !PF_JUDGE
	/* the struct in memory is the word that the MMU reads */
	assert_memory_equal(table, shadow, sizeof(table));
#endif
}

static void access_one(void)
{
	unsigned i = (unsigned)rnd_below(SLOTS);
	pf_hw_t v = rnd_word(), old = shadow[i], found;
	bool expect, done;

	switch (rnd_below(4)) {
	case 0:
		pf_hw_store(&table[i], v);
		shadow[i] = v;
		check_slots("store");
		return;
	case 1:
		pf_hw_store_release(&table[i], v);
		shadow[i] = v;
		check_slots("store_release");
		return;
	case 2:
		found = pf_hw_xchg(&table[i], v);
		CHECK(pf_hw_same(found, old), "xchg returned %s, not %s", hw_text(found),
			hw_text(old));
		shadow[i] = v;
		check_slots("xchg");
		return;
	default:
		found = old;
		if (rnd_one_in(4))
			found = rnd_word();
		else if (rnd_one_in(2)) /* one bit off */
			((unsigned char *)&found)[rnd_below(sizeof(found))] ^=
				(unsigned char)(1u << rnd_below(8));
		expect = !memcmp(&found, &old, sizeof(old));
		done = pf_hw_cas(&table[i], &found, v);
		CHECK(done == expect, "cas %s", done ? "succeeded" : "failed");
		CHECK(pf_hw_same(found, old), "cas left %s, not the word found, %s", hw_text(found),
			hw_text(old));
		if (done)
			shadow[i] = v;
		check_slots("cas");
	}
}

static void accessors_on_one_thread(void **state)
{
	uint64_t hooks = test_port.entry_hooks;

	(void)state;
	test_port.scramble = UINT64_C(0x5a17c3f00f3c71a5);
	for (unsigned i = 0; i < SLOTS; i++) {
		shadow[i] = rnd_word();
		pf_hw_store(&table[i], shadow[i]);
	}
	check_slots("first stores");
	for (unsigned i = 0; i < CASES(MANY); i++)
		access_one();
	test_port.scramble = 0;
#if PF_JUDGE
	assert_true(test_port.entry_hooks - hooks >= CASES(MANY) * (SLOTS + 1));
#else
	assert_int_equal(test_port.entry_hooks, hooks);
#endif
}

/* ---- two threads ---- */

static pf_hw_t *const shared = &table[3];
static unsigned stop_thread;
static uint64_t helper_count, helper_bad;

static void run_with(void *(*helper)(void *), void (*body)(void))
{
	pthread_t t;

	pf_hw_store(shared, pf_hw_empty());
	helper_count = helper_bad = 0;
	__atomic_store_n(&stop_thread, 0, __ATOMIC_SEQ_CST);
	assert_int_equal(pthread_create(&t, NULL, helper, NULL), 0);
	body();
	__atomic_store_n(&stop_thread, 1, __ATOMIC_SEQ_CST);
	pthread_join(t, NULL);
}

static bool stopping(void)
{
	return __atomic_load_n(&stop_thread, __ATOMIC_RELAXED);
}

/* Another thread's change makes a cas fail, but no thread changes the entry that often. */
static void check_tries(unsigned tries)
{
	CHECK(tries < 1000000, "cas never succeeds");
}

/*
 * A CPU's walker: it reads the entry and sets A by compare-and-exchange, on the whole word or on
 * the low one. It knows the place of A from mkyoung and works on memory directly, as an MMU does.
 */
static void *walker(void *arg)
{
	pf_hw_t v = pf_hw_encode(pf_pte_mk(1, PF_PTE_R), 0, false), y = pf_hw_mkyoung(v);
	uint64_t word, young;

	memcpy(&word, &v, sizeof(word));
	memcpy(&young, &y, sizeof(young));
	young ^= word;
	while (!stopping()) {
		bool set;

		word = __atomic_load_n((uint64_t *)(void *)shared, __ATOMIC_RELAXED);
		memcpy(&v, &word, sizeof(v));
		if (!pf_hw_valid(v) || pf_hw_young(v)) {
			sched_yield();
			continue;
		}
		if (suite_x->two_words) {
			uint32_t low = (uint32_t)word;

			set = __atomic_compare_exchange_n((uint32_t *)(void *)shared, &low,
				low | (uint32_t)young, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		} else {
			set = __atomic_compare_exchange_n((uint64_t *)(void *)shared, &word,
				word | young, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
		}
		if (set)
			__atomic_add_fetch(&helper_count, 1, __ATOMIC_SEQ_CST);
	}
	return arg;
}

static uint64_t harvested;

static uint64_t helper_now(void)
{
	return __atomic_load_n(&helper_count, __ATOMIC_SEQ_CST);
}

/* The walker sets A at most once a round, so what it set and what is harvested must agree. */
static void harvest_rounds(void)
{
	harvested = 0;
	for (unsigned round = 0;
		round < CASES(20000u) || (helper_now() < CASES(500u) && round < ROUNDS(4000000u));
		round++) {
		pf_hw_t v = pf_hw_encode(pf_pte_mk(round & 0xffff, PF_PTE_R | PF_PTE_W), 0, false);
		pf_hw_t old;

		pf_hw_store(shared, v);
		if (round % 4 == 0)
			sched_yield();
		if (round & 1) {
			old = pf_hw_xchg(shared, pf_hw_empty());
		} else {
			/* first a change that stays valid, then the end of the entry */
			old = pf_hw_load(shared);
			for (unsigned tries = 0; !pf_hw_cas(shared, &old, pf_hw_wrprotect(old));
				tries++)
				check_tries(tries);
			old = pf_hw_load(shared);
			for (unsigned tries = 0; !pf_hw_cas(shared, &old, pf_hw_empty()); tries++)
				check_tries(tries);
		}
		harvested += pf_hw_young(old);
	}
}

static void no_access_bit_is_lost(void **state)
{
	(void)state;
	/* only hardware that sets A by itself, and entries that a host CPU can exchange whole */
	if (!suite_x->ad_features || sizeof(pf_hw_t) != sizeof(uint64_t))
		skip();
	run_with(walker, harvest_rounds);
	assert_true(helper_count > 0); /* else the test proves nothing */
	assert_int_equal(harvested, helper_count);
}

/* A frame whose upper half follows from its lower: a mix of two entries shows. */
static pf_pfn_t twin_frame(uint32_t low)
{
	low &= 0xfffff;
	return low | (pf_pfn_t)((low * 40503u + 977u) & 0xffff) << 20;
}

static void *coherent_reader(void *arg)
{
	while (!stopping()) {
		pf_hw_t v = pf_hw_load(shared);
		pf_pfn_t pfn;

		if (pf_hw_none(v))
			continue;
		pfn = pf_hw_pfn(v, 0, 0);
		if (!pf_hw_valid(v) || pfn != twin_frame((uint32_t)pfn))
			__atomic_add_fetch(&helper_bad, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&helper_count, 1, __ATOMIC_RELAXED);
	}
	return arg;
}

/* Clear before a new frame, as every format's protocol demands. */
static void store_rounds(void)
{
	/* helper_count is the reader's own; reading it here only decides when there was enough */
	for (uint32_t i = 1;
		i < CASES(200000u) || (helper_now() < CASES(500u) && i < ROUNDS(40000000u)); i++) {
		pf_hw_t v = pf_hw_encode(pf_pte_mk(twin_frame(i), PF_PTE_R | PF_PTE_A), 0, false);

		if (i & 1)
			pf_hw_store(shared, v);
		else
			pf_hw_store_release(shared, v);
		if (i % 64 == 0)
			sched_yield();
		if (i & 2)
			pf_hw_store(shared, pf_hw_empty());
		else
			pf_hw_xchg(shared, pf_hw_empty());
	}
}

/* Row C3: a lockless reader sees one state of the entry, never halves of two. */
static void c3_load_is_coherent(void **state)
{
	(void)state;
	run_with(coherent_reader, store_rounds);
	assert_true(helper_count > 0);
	assert_int_equal(helper_bad, 0);
}

/*
 * Two threads that change the entry prove nothing while they run one after the other, as on a busy
 * machine. So each counts its changes and how often the other's count moved between two of its own,
 * and goes on until both have seen that.
 */
#define CHANGES  CASES(20000u)
#define MEETINGS CASES(200u)

static struct party {
	uint64_t changes, meetings, seen;
} party[2];

static bool goes_on(unsigned me)
{
	struct party *mine = &party[me], *other = &party[!me];
	uint64_t now = __atomic_load_n(&other->changes, __ATOMIC_SEQ_CST);
	uint64_t mine_now = __atomic_add_fetch(&mine->changes, 1, __ATOMIC_SEQ_CST);

	if (now != mine->seen)
		__atomic_add_fetch(&mine->meetings, 1, __ATOMIC_SEQ_CST);
	mine->seen = now;
	if (mine_now % 64 == 0)
		sched_yield();
	if (__atomic_load_n(&helper_bad, __ATOMIC_SEQ_CST))
		return false;
	return mine_now < CHANGES ||
	       __atomic_load_n(&mine->meetings, __ATOMIC_SEQ_CST) < MEETINGS ||
	       __atomic_load_n(&other->meetings, __ATOMIC_SEQ_CST) < MEETINGS;
}

static uint64_t put, taken;

static void put_and_take(unsigned me)
{
	uint64_t in = 0, out = 0;

	do {
		pf_pfn_t pfn = 1 + 2 * (party[me].changes % CHANGES) + me;
		pf_hw_t old = pf_hw_xchg(shared, pf_hw_encode(pf_pte_mk(pfn, PF_PTE_R), 0, false));

		in += pfn;
		if (!pf_hw_none(old))
			out += pf_hw_pfn(old, 0, 0);
	} while (goes_on(me));
	__atomic_add_fetch(&put, in, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&taken, out, __ATOMIC_SEQ_CST);
}

static void *putter(void *arg)
{
	put_and_take(1);
	return arg;
}

static void put_body(void)
{
	put_and_take(0);
}

/* Whatever is put in comes out exactly once. */
static void xchg_between_threads(void **state)
{
	(void)state;
	if (suite_x->two_words)
		skip();
	memset(party, 0, sizeof(party));
	put = taken = 0;
	run_with(putter, put_body);
	assert_int_equal(taken + pf_hw_pfn(pf_hw_load(shared), 0, 0), put);
}

static uint64_t ups;

/* The entry's frame goes up by one with each change, modulo UP_WRAP. */
#define UP_WRAP 0x10000u

static void count_up(unsigned me)
{
	uint64_t mine = 0;

	do {
		pf_hw_t old = pf_hw_load(shared);

		for (unsigned tries = 0;; tries++) {
			pf_pfn_t next = pf_hw_none(old) ? 1 : (pf_hw_pfn(old, 0, 0) + 1) % UP_WRAP;

			if (pf_hw_cas(shared, &old,
				    pf_hw_encode(pf_pte_mk(next, PF_PTE_R), 0, false)))
				break;
			if (tries == 1000000) {
				__atomic_add_fetch(&helper_bad, 1, __ATOMIC_SEQ_CST);
				break;
			}
		}
		mine++;
	} while (goes_on(me));
	__atomic_add_fetch(&ups, mine, __ATOMIC_SEQ_CST);
}

static void *counter(void *arg)
{
	count_up(1);
	return arg;
}

static void count_body(void)
{
	count_up(0);
}

static void cas_between_threads(void **state)
{
	(void)state;
	if (suite_x->two_words)
		skip();
	memset(party, 0, sizeof(party));
	ups = 0;
	run_with(counter, count_body);
	assert_int_equal(helper_bad, 0);
	assert_int_equal(pf_hw_pfn(pf_hw_load(shared), 0, 0), ups % UP_WRAP);
}

const struct CMUnitTest suite_memory[] = {
	cmocka_unit_test(accessors_on_one_thread),
	cmocka_unit_test(no_access_bit_is_lost),
	cmocka_unit_test(c3_load_is_coherent),
	cmocka_unit_test(xchg_between_threads),
	cmocka_unit_test(cas_between_threads),
};
const size_t suite_memory_nr = PF_ARRAY_SIZE(suite_memory);
