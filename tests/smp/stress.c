/* SPDX-License-Identifier: MIT */
/*
 * stress [--format F] [--threads N] [--seconds N] [--seed S] [--fail N]: real threads in the library, doing all that there is, for a while.
 * At times all stop and what must hold at rest is looked at. What threads do is drawn from the seed; how they meet is not.
 *
 * Exit 0: nothing was wrong. Else it ends with what was, and the last operations of each thread.
 */
#include <getopt.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "mm/rmap.h"
#include "stress.h"
#include "swap.h"

struct world world;

static struct {
	const char *format;
	unsigned threads, seconds, fail;
	uint64_t seed, memory;
} opt = {.format = "arm64-4k", .threads = 2, .seconds = 5, .seed = 1, .memory = 96};

static pthread_barrier_t barrier;
static bool stopping;  /* atomic */
static uint32_t ended; /* threads; atomic */
static double began;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void say(struct thread *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->last[t->last_at++ % LAST], sizeof(t->last[0]), fmt, ap);
	va_end(ap);
}

/* Other threads go on meanwhile: what they did last may be torn. */
static void tell_all(void)
{
	for (unsigned i = 0; i < world.threads; i++) {
		const struct thread *t = &world.thread[i];

		fprintf(stderr, "thread %u, step %" PRIu64 ":\n", i, t->steps);
		for (unsigned k = t->last_at > LAST ? t->last_at - LAST : 0; k < t->last_at; k++)
			fprintf(stderr, "\t%s\n", t->last[k % LAST]);
	}
}

void fail(struct thread *t, const char *fmt, ...)
{
	static uint32_t failing;
	va_list ap;

	/* Only the first is told. */
	while (__atomic_exchange_n(&failing, 1, __ATOMIC_ACQUIRE))
		pause();
	fprintf(stderr, "stress: %s, %u threads, seed %" PRIu64 ": ", opt.format, opt.threads,
		opt.seed);
	if (t)
		fprintf(stderr, "thread %u: %s: ", t->id, t->last[(t->last_at + LAST - 1) % LAST]);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	tell_all();
	abort();
}

static void disorder(const char *text)
{
	fail(NULL, "lock order: %s", text);
}

static void entry_bad(void *ctx, pf_pfn_t pfn, const char *why)
{
	(void)ctx;
	fail(NULL, "page-table check: frame %" PRIu64 ": %s", pfn, why);
}

/* ---- swap ---- */

static int disk_read(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	smp_copy(pf_port_virt(pa), world.disk + slot * P, bytes);
	return 0;
}

static int disk_write(void *ctx, uint64_t slot, pf_pa_t pa, size_t bytes)
{
	(void)ctx;
	smp_copy(world.disk + slot * P, pf_port_virt(pa), bytes);
	return 0;
}

const struct pf_swap_ops stress_swap_ops = {.read = disk_read, .write = disk_write};

/* ---- beginning and end ---- */

static const struct pf_format *find_format(void)
{
	for (const struct pf_format *const *f = pf_formats; *f; f++)
		if (!strcmp((*f)->pt->name, opt.format))
			return *f;
	fprintf(stderr, "stress: no format %s\n", opt.format);
	exit(2);
}

#define MUST(c)                                                                                    \
	do {                                                                                       \
		if (!(c))                                                                          \
			fail(NULL, "%s", #c);                                                      \
	} while (0)

static void start(void)
{
	const struct pf_format *fmt = find_format();
	struct thread *seed = &(struct thread){.random = opt.seed};
	/* What the newest hardware has, less what chance takes away. */
	uint32_t features = smp_newest(opt.format), without = rnd(seed, 8);
	struct smp_config cfg = {
		.format = opt.format,
		.memory = opt.memory << 20,
		.fail_one_in = opt.fail,
		.slow_one_in = 16,
		.check_order = true,
	};
	uint32_t *maps;

	if (without & 1)
		features &= ~(uint32_t)(rnd(seed, 2) ? PF_FEAT_HD : PF_FEAT_HD | PF_FEAT_HAF);
	if (without & 2)
		features &= ~(uint32_t)(PF_FEAT_BBM1 | PF_FEAT_BBM2 | PF_FEAT_BBM2_NOABORT);
	if (without & 4)
		features &= ~(uint32_t)(rnd(seed, 2) ? PF_FEAT_TLB_RANGE : PF_FEAT_TTL);
	cfg.features = features;
	smp_on_disorder(disorder);
	MUST(!smp_start(&cfg));
	MUST(smp_enter(false));
	MUST(!pf_phys_init(&world.phys, SMP_RAM_BASE, cfg.memory, fmt->pt->page_shift, 10));
	/* Threads with lists of free pages of their own, or a list for some, or none. */
	if (rnd(seed, 4))
		pf_phys_set_cpus(&world.phys, world.pcp, 1 + rnd(seed, STRESS_LISTS));
	maps = calloc(world.phys.nr, sizeof(*maps));
	world.disk = calloc(DISK_SLOTS, P);
	MUST(maps && world.disk);
	pf_table_check_init(&world.check, &world.phys, maps);
	world.check.bad = entry_bad;
	MUST(!pf_system_init(&world.sys, fmt, &world.phys, features,
		rnd(seed, 4) ? PF_FOLD_WATCH : PF_FOLD_LINUX));
	world.sys.thp.order[2] = PF_THP_ALWAYS;
	world.sys.thp.order[4] = rnd(seed, 4) ? PF_THP_ALWAYS : PF_THP_MADVISE;
	world.sys.thp.order[9] = PF_THP_MADVISE;
	world.sys.thp.shmem[4] = PF_THP_ALWAYS;
	world.swap_dev = (unsigned)pf_swapon(&world.sys, &stress_swap_ops, NULL, DISK_SLOTS);
	for (unsigned i = 0; i < SHARED; i++)
		MUST(!pf_mm_init(&world.mm[i], &world.sys, (uint16_t)(1 + i)));
	smp_leave();
}

static void check_at_rest(void)
{
	const char *bad = pf_rmap_check(&world.sys);
	pf_pfn_t pfn;

	if (bad)
		fail(NULL, "at rest: %s", bad);
	for (unsigned i = 0; i < SHARED; i++)
		if ((bad = pf_mm_check(&world.mm[i])))
			fail(NULL, "at rest: shared address space %u: %s", i, bad);
	for (unsigned i = 0; i < world.threads; i++)
		if (world.thread[i].view[SHARED].mm && (bad = pf_mm_check(&world.thread[i].child)))
			fail(NULL, "at rest: child of %u: %s", i, bad);
	smp_rcu_barrier();
	if (pf_phys_check(&world.phys, &pfn, &bad))
		fail(NULL, "at rest: frame %" PRIu64 ": %s", pfn, bad);
}

static void stop(void)
{
	struct pf_phys_stats stats;
	pf_pfn_t pfn;
	const char *bad;

	MUST(smp_enter(false));
	for (unsigned i = 0; i < SHARED; i++)
		pf_mm_exit(&world.mm[i]);
	/* Counted by whoever makes and frees tables, at once. */
	for (unsigned i = 0; i < SHARED; i++)
		if (world.mm[i].space.pt.stats.tables)
			fail(NULL, "the end: %" PRIu64 " bytes of tables are counted",
				world.mm[i].space.pt.stats.tables);
	MUST(!pf_swapoff(&world.sys, world.swap_dev));
	pf_system_exit(&world.sys);
	smp_rcu_barrier();
	if (pf_phys_check(&world.phys, &pfn, &bad))
		fail(NULL, "the end: frame %" PRIu64 ": %s", pfn, bad);
	pf_phys_stats(&world.phys, &stats);
	if (stats.free != stats.pages)
		fail(NULL, "the end: %" PRIu64 " pages are not free", stats.pages - stats.free);
	if (smp_meta_bytes())
		fail(NULL, "the end: %" PRIu64 " bytes of metadata are not free", smp_meta_bytes());
	smp_leave();
	smp_stop();
	free(world.check.maps);
	free(world.disk);
}

/* ---- threads ---- */

#define STEPS 300u /* between two looks */

static void *run(void *arg)
{
	struct thread *t = arg;

	MUST(smp_enter(true));
	for (unsigned i = 0; i <= SHARED; i++) {
		t->view[i].page = calloc(PAGES, sizeof(*t->view[i].page));
		MUST(t->view[i].page);
		if (i == SHARED)
			break;
		t->view[i].mm = &world.mm[i];
		t->view[i].asid = world.mm[i].space.pt.asid;
	}
	t->view[SHARED].child = true;
	for (unsigned round = 0; !pf_load_acquire(&stopping); round++) {
		for (unsigned i = 0; i < STEPS; i++)
			step(t);
		pthread_barrier_wait(&barrier);
		if (!t->id) {
			check_at_rest();
			pf_store_release(&stopping, now() - began > opt.seconds);
		}
		pthread_barrier_wait(&barrier);
	}
	end_child(t);
	smp_set_root(0, 0);
	for (unsigned i = 0; i <= SHARED; i++)
		free(t->view[i].page);
	smp_leave();
	pf_add_return(&ended, 1);
	return NULL;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {{"format", 1, NULL, 'f'}, {"threads", 1, NULL, 't'},
		{"seconds", 1, NULL, 's'}, {"seed", 1, NULL, 'r'}, {"fail", 1, NULL, 'x'},
		{"memory", 1, NULL, 'm'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			opt.format = optarg;
		else if (c == 't')
			opt.threads = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 's')
			opt.seconds = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'r')
			opt.seed = strtoull(optarg, NULL, 0);
		else if (c == 'x')
			opt.fail = (unsigned)strtoul(optarg, NULL, 0);
		else if (c == 'm')
			opt.memory = strtoull(optarg, NULL, 0);
		else
			c = '?';
		if (c == '?' || opt.threads - 1 >= MAX_THREADS || !opt.memory) {
			fprintf(stderr,
				"usage: stress [--format F] [--threads 1..%u] [--seconds N] "
				"[--seed S] [--fail ONE_IN] [--memory MIB]\n",
				MAX_THREADS);
			exit(2);
		}
	}
}

#define PATIENCE 100u /* seconds */

/* Until all threads have ended, or nobody has got on for a long time: they wait for each other. */
static void watch(void)
{
	uint64_t before = 0;

	for (unsigned quiet = 0; pf_load_acquire(&ended) < opt.threads;) {
		uint64_t steps = 0;

		usleep(10000);
		for (unsigned i = 0; i < opt.threads; i++)
			steps += pf_load_relaxed(&world.thread[i].steps);
		quiet = steps == before ? quiet + 1 : 0;
		before = steps;
		if (quiet == PATIENCE * 100)
			fail(NULL, "nobody gets on");
	}
}

int main(int argc, char **argv)
{
	struct smp_counts n;
	uint64_t steps = 0, retries = 0;

	parse(argc, argv);
	world.threads = opt.threads;
	start();
	began = now();
	pthread_barrier_init(&barrier, NULL, opt.threads);
	for (unsigned i = 0; i < opt.threads; i++) {
		struct thread *t = &world.thread[i];

		t->id = i;
		t->random = opt.seed * 1000 + i;
		t->child_asid = (uint16_t)(100 + i);
		MUST(!pthread_create(&t->thread, NULL, run, t));
	}
	watch();
	for (unsigned i = 0; i < opt.threads; i++) {
		pthread_join(world.thread[i].thread, NULL);
		steps += world.thread[i].steps;
		retries += world.thread[i].retries;
	}
	smp_counts(&n);
	stop();
	printf("%s, %u threads, seed %" PRIu64 ": %" PRIu64 " operations (%" PRIu64
	       " tried again), %" PRIu64 " accesses, %" PRIu64 " misses, %" PRIu64
	       " faults, %" PRIu64 " invalidations that dropped %" PRIu64 ", %" PRIu64
	       " completions that waited\n",
		opt.format, opt.threads, opt.seed, steps, retries, n.accesses, n.misses, n.faults,
		n.tlbi, n.dropped, n.waits);
	return 0;
}
