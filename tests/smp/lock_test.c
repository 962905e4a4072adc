/* SPDX-License-Identifier: MIT */
/*
 * Locks, their order, and RCU, of the port with real threads.
 */
#include <unistd.h>

#include "rig.h"

#define THREADS 6
#define TURNS   20000

static struct pf_spinlock spin;
static struct pf_rwlock rw;
static uint64_t a, b; /* plain: the lock's */
static uint64_t reads, tried;

static void all(void *(*fn)(void *))
{
	pthread_t t[THREADS];

	rig_start(0, 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fn, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	rig_stop();
}

static void *spinner(void *arg)
{
	assert_true(smp_enter(false));
	for (unsigned i = 0; i < TURNS; i++) {
		if ((uintptr_t)arg & 1)
			pf_port_spin_lock(&spin, PF_LOCK_TABLE, 1);
		else
			while (!pf_port_spin_trylock(&spin, PF_LOCK_TABLE, 1))
				sched_yield();
		a++;
		pf_port_spin_unlock(&spin, PF_LOCK_TABLE, 1);
	}
	smp_leave();
	return NULL;
}

static void test_spin(void **state)
{
	(void)state;
	pf_port_spin_init(&spin, PF_LOCK_TABLE, 1);
	a = 0;
	all(spinner);
	assert_int_equal(a, THREADS * TURNS);
}

/* Two write, the others read and find what was written together. */
static void *writer_or_reader(void *arg)
{
	const bool write = (uintptr_t)arg < 2;

	assert_true(smp_enter(false));
	for (unsigned i = 0; i < TURNS; i++) {
		if (write) {
			pf_port_rw_write_lock(&rw, PF_LOCK_MMAP);
			a++;
			b++;
			pf_port_rw_write_unlock(&rw, PF_LOCK_MMAP);
			continue;
		}
		if (i % 3)
			pf_port_rw_read_lock(&rw, PF_LOCK_MMAP);
		else if (!pf_port_rw_read_trylock(&rw, PF_LOCK_MMAP))
			continue;
		else
			pf_add_relaxed(&tried, 1);
		assert_int_equal(a, b);
		pf_add_relaxed(&reads, 1);
		pf_port_rw_read_unlock(&rw, PF_LOCK_MMAP);
	}
	smp_leave();
	return NULL;
}

static void test_rw(void **state)
{
	(void)state;
	pf_port_rw_init(&rw, PF_LOCK_MMAP);
	a = b = reads = tried = 0;
	all(writer_or_reader);
	assert_int_equal(a, 2 * TURNS);
	assert_in_range(reads, (THREADS - 2) * (TURNS / 3 * 2), (THREADS - 2) * TURNS);
	assert_int_not_equal(tried, 0);
	assert_int_equal(rw.word[0], 0);
}

/* Readers that follow each other without a gap do not keep a writer out; several may be in at a time. */
static uint32_t stop_readers, inside, both;

static void *relay(void *arg)
{
	(void)arg;
	assert_true(smp_enter(false));
	while (!pf_load_acquire(&stop_readers)) {
		pf_port_rw_read_lock(&rw, PF_LOCK_MMAP);
		if (pf_add_return(&inside, 1) > 1)
			pf_store_relaxed(&both, 1);
		usleep(100);
		pf_sub_return(&inside, 1);
		pf_port_rw_read_unlock(&rw, PF_LOCK_MMAP);
	}
	smp_leave();
	return NULL;
}

static void test_rw_fair(void **state)
{
	pthread_t t[THREADS];

	(void)state;
	stop_readers = inside = both = 0;
	pf_port_rw_init(&rw, PF_LOCK_MMAP);
	rig_start(0, 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, relay, NULL), 0);
	for (unsigned i = 0; i < 100; i++) {
		pf_port_rw_write_lock(&rw, PF_LOCK_MMAP);
		assert_int_equal(pf_load_acquire(&inside), 0);
		assert_false(pf_port_rw_read_trylock(&rw, PF_LOCK_MMAP));
		pf_port_rw_write_unlock(&rw, PF_LOCK_MMAP);
		usleep(200);
	}
	pf_store_release(&stop_readers, 1);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(both, 1);
	rig_stop();
}

/* ---- RCU ---- */

#define NODES 64

static struct node {
	struct pf_rcu_head rcu;
	uint64_t freed;
} nodes[NODES];
static struct node *current;
static uint64_t done;

/* The library's is not linked. */
void pf_rcu_done(struct pf_rcu_head *head)
{
	struct node *n = PF_CONTAINER_OF(head, struct node, rcu);

	assert_ptr_equal(head->ctx, n);
	pf_store_relaxed(&n->freed, 1);
	done++;
}

static void *reader(void *arg)
{
	(void)arg;
	assert_true(smp_enter(false));
	while (!pf_load_acquire(&stop_readers)) {
		struct node *n;

		pf_port_rcu_read_lock();
		pf_port_rcu_read_lock();
		n = pf_load_acquire(&current);
		pf_port_rcu_read_unlock();
		if (pf_load_relaxed(&n->freed))
			fail_msg("a node was freed before its reader was gone");
		sched_yield();
		if (pf_load_relaxed(&n->freed))
			fail_msg("a node was freed under its reader");
		pf_port_rcu_read_unlock();
	}
	smp_leave();
	return NULL;
}

static void test_rcu(void **state)
{
	pthread_t t[2];

	(void)state;
	stop_readers = 0;
	done = 0;
	memset(nodes, 0, sizeof(nodes));
	current = &nodes[0];
	rig_start(0, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader, NULL), 0);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < NODES - 1; i++) {
			struct node *old = current;

			old->rcu.ctx = old;
			pf_store_release(&current, &nodes[(old - nodes + 1) % NODES]);
			pf_port_call_rcu(&old->rcu);
		}
		smp_rcu_barrier();
		assert_int_equal(done, (round + 1) * (NODES - 1));
		for (unsigned i = 0; i < NODES; i++) {
			assert_int_equal(nodes[i].freed, &nodes[i] != current);
			pf_store_relaxed(&nodes[i].freed, 0);
		}
	}
	pf_store_release(&stop_readers, 1);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	rig_stop();
}

/* ---- order ---- */

static char told[700];

static void note(const char *text)
{
	if (!*told)
		snprintf(told, sizeof(told), "%s", text);
}

static struct pf_rwlock mmap_lock, anon_lock, other_mm;
static struct pf_spinlock low, high, zone;

static void order_start(void)
{
	struct smp_config cfg = {.format = "arm64-4k", .memory = 1 << 20, .check_order = true};

	*told = 0;
	smp_on_disorder(note);
	assert_int_equal(smp_start(&cfg), 0);
	assert_true(smp_enter(false));
	pf_port_rw_init(&mmap_lock, PF_LOCK_MMAP);
	pf_port_rw_init(&other_mm, PF_LOCK_MMAP);
	pf_port_rw_init(&anon_lock, PF_LOCK_ANON);
	pf_port_spin_init(&low, PF_LOCK_TABLE, 0x1000);
	pf_port_spin_init(&high, PF_LOCK_TABLE, 0x2000);
	pf_port_spin_init(&zone, PF_LOCK_ZONE, 0);
}

static void order_stop(void)
{
	smp_leave();
	smp_stop();
	smp_on_disorder(NULL);
}

/* All that is right, and then one thing that is not, told with both stacks. */
static void test_order(void **state)
{
	(void)state;
	order_start();
	pf_port_rw_read_lock(&mmap_lock, PF_LOCK_MMAP);
	pf_port_rw_write_lock(&anon_lock, PF_LOCK_ANON);
	pf_port_spin_lock(&low, PF_LOCK_TABLE, 0x1000);
	pf_port_spin_lock(&high, PF_LOCK_TABLE, 0x2000);
	pf_port_spin_lock(&zone, PF_LOCK_ZONE, 0);
	pf_port_spin_unlock(&low, PF_LOCK_TABLE, 0x1000);
	pf_port_spin_unlock(&zone, PF_LOCK_ZONE, 0);
	/* Who tries does not wait. */
	assert_true(pf_port_rw_read_trylock(&other_mm, PF_LOCK_MMAP));
	pf_port_rw_read_unlock(&other_mm, PF_LOCK_MMAP);
	pf_port_spin_unlock(&high, PF_LOCK_TABLE, 0x2000);
	pf_port_rw_write_unlock(&anon_lock, PF_LOCK_ANON);
	pf_port_rw_read_unlock(&mmap_lock, PF_LOCK_MMAP);
	/* fork's two, and its tables in any order. */
	pf_port_rw_write_lock(&mmap_lock, PF_LOCK_MMAP);
	pf_port_rw_write_lock(&other_mm, PF_LOCK_MMAP);
	pf_port_spin_lock(&high, PF_LOCK_TABLE, 0x2000);
	pf_port_spin_lock(&low, PF_LOCK_TABLE, 0x1000);
	pf_port_spin_unlock(&low, PF_LOCK_TABLE, 0x1000);
	pf_port_spin_unlock(&high, PF_LOCK_TABLE, 0x2000);
	pf_port_rw_write_unlock(&other_mm, PF_LOCK_MMAP);
	pf_port_rw_write_unlock(&mmap_lock, PF_LOCK_MMAP);
	assert_string_equal(told, "");
	pf_port_spin_lock(&zone, PF_LOCK_ZONE, 0);
	pf_port_rw_read_lock(&anon_lock, PF_LOCK_ANON);
	assert_string_equal(told,
		"takes anon for reading with zone held; zone is inside anon, and was taken with "
		"mmap for reading, anon, table, table held");
	pf_port_rw_read_unlock(&anon_lock, PF_LOCK_ANON);
	pf_port_spin_unlock(&zone, PF_LOCK_ZONE, 0);
	order_stop();
}

static void expect(const char *text)
{
	if (!strstr(told, text))
		fail_msg("\"%s\" is not in \"%s\"", text, told);
	*told = 0;
}

static void test_disorders(void **state)
{
	void *small;

	(void)state;
	order_start();
	/* Twice, which waits for ever if a writer comes in between. */
	pf_port_rw_read_lock(&mmap_lock, PF_LOCK_MMAP);
	pf_port_rw_read_lock(&mmap_lock, PF_LOCK_MMAP);
	expect("takes mmap for reading, which it holds");
	pf_port_rw_read_unlock(&mmap_lock, PF_LOCK_MMAP);
	pf_port_rw_write_lock(&other_mm, PF_LOCK_MMAP);
	expect("takes mmap with mmap for reading held");
	pf_port_rw_write_unlock(&other_mm, PF_LOCK_MMAP);
	/* Two tables, the higher first, which fork may. */
	pf_port_spin_lock(&high, PF_LOCK_TABLE, 0x2000);
	pf_port_spin_lock(&low, PF_LOCK_TABLE, 0x1000);
	expect("takes table with mmap for reading, table held");
	pf_port_spin_unlock(&low, PF_LOCK_TABLE, 0x1000);
	/* What may sleep. */
	small = pf_port_meta_alloc(16);
	expect("metadata is asked for with mmap for reading, table held");
	pf_port_meta_free(small, 16);
	expect("metadata is given back with mmap for reading, table held");
	pf_port_relax();
	expect("a wait for another thread with");
	pf_port_spin_unlock(&high, PF_LOCK_TABLE, 0x2000);
	pf_port_relax();
	assert_string_equal(told, "");
	pf_port_spin_unlock(&high, PF_LOCK_TABLE, 0x2000);
	expect("does not hold");
	smp_leave();
	expect("a thread leaves with mmap for reading");
	pf_port_rw_init(&mmap_lock, PF_LOCK_MMAP);
	smp_stop();
	smp_on_disorder(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spin),
		cmocka_unit_test(test_rw),
		cmocka_unit_test(test_rw_fair),
		cmocka_unit_test(test_rcu),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_disorders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
