/* SPDX-License-Identifier: MIT */
/*
 * The one machine of this process: memory, who is in it, what it has been asked for.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "state.h"

struct smp_port smp_port;
_Thread_local struct smp_thread smp_self;
const struct mmu_format *smp_format;
uint32_t smp_features;
uint64_t smp_memory;
struct smp_cpu *smp_cpus[SMP_MAX_CPUS];
uint32_t smp_nr_cpus;

static uint32_t cpus_in_use; /* under the threads' lock, as the slots' owners */
static bool in_use[SMP_MAX_CPUS];
static uint64_t numbers;    /* a bit for each that a thread has; under the threads' lock */
static uint64_t meta_bytes; /* atomic */
static uint64_t seeds;      /* atomic */
static char *ram, *memmap;

static const struct mmu_format *const formats[] = {
	&mmu_arm64_4k, &mmu_fake_inv, &mmu_fake_nz, &mmu_fake_2w};

static const struct mmu_format *find_format(const char *name)
{
	for (unsigned i = 0; i < PF_ARRAY_SIZE(formats); i++)
		if (!strcmp(formats[i]->name, name))
			return formats[i];
	return NULL;
}

uint32_t smp_newest(const char *format)
{
	const struct mmu_format *f = find_format(format);

	return f ? f->newest : 0;
}

static char *reserve(uint64_t bytes, bool resident)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (resident) {
		/* Hints: a host that refuses maps the memory at its first use. */
		madvise(p, bytes, MADV_DONTFORK);
		madvise(p, bytes, MADV_HUGEPAGE);
		madvise(p, bytes, MADV_POPULATE_WRITE);
	}
	return p;
}

static void release(void)
{
	if (ram)
		munmap(ram, smp_memory);
	if (memmap)
		munmap(memmap, smp_memory / 4096 * 32);
	ram = memmap = NULL;
}

int smp_start(const struct smp_config *cfg)
{
	const struct mmu_format *f = find_format(cfg->format);

	if (!f || (cfg->features & ~f->allowed) || !cfg->memory || cfg->memory % 4096 ||
		((cfg->features & PF_FEAT_HD) && !(cfg->features & PF_FEAT_HAF)))
		return -1;
	smp_memory = cfg->memory;
	ram = reserve(cfg->memory, cfg->resident);
	memmap = reserve(cfg->memory / 4096 * 32, cfg->resident);
	if (!ram || !memmap) {
		release();
		return -1;
	}
	smp_format = f;
	smp_features = cfg->features;
	smp_port = (struct smp_port){
		.ram_bias = ram - SMP_RAM_BASE,
		.memmap_bias = memmap - (SMP_RAM_BASE >> 12) * 32,
		.fail_one_in = cfg->fail_one_in,
		.slow_one_in = cfg->slow_one_in,
		.check_order = cfg->check_order,
	};
	smp_order_forget();
	if (smp_rcu_start()) {
		release();
		return -1;
	}
	return 0;
}

void smp_stop(void)
{
	smp_rcu_stop();
	for (unsigned i = 0; i < smp_nr_cpus; i++) {
		free(smp_cpus[i]);
		smp_cpus[i] = NULL;
		in_use[i] = false;
	}
	smp_nr_cpus = cpus_in_use = 0;
	release();
}

/* A slot that a thread has left keeps its lists: whoever invalidates may be about to write to them. */
static bool take_cpu(void)
{
	unsigned i = 0;

	if (cpus_in_use == SMP_MAX_CPUS)
		return false;
	while (in_use[i])
		i++;
	if (i == smp_nr_cpus) {
		struct smp_cpu *cpu = aligned_alloc(64, sizeof(*cpu));

		if (!cpu)
			return false;
		memset(cpu, 0, sizeof(*cpu));
		cpu->random = i + 1;
		smp_cpus[i] = cpu;
		pf_store_release(&smp_nr_cpus, i + 1);
	}
	in_use[i] = true;
	cpus_in_use++;
	smp_self.cpu = smp_cpus[i];
	smp_self.cpu->root = 0;
	smp_flush_all(smp_self.cpu);
	return true;
}

/* More threads than bits share the last. */
static uint32_t take_number(void)
{
	const uint64_t free = ~numbers;
	const uint32_t n = free ? (uint32_t)__builtin_ctzll(free) : 63;

	numbers |= UINT64_C(1) << n;
	return n;
}

bool smp_enter(bool cpu)
{
	bool in;

	memset(&smp_self, 0, sizeof(smp_self));
	smp_self.random = pf_add_return(&seeds, 1) * UINT64_C(0x9e3779b97f4a7c15);
	smp_threads_lock();
	in = !cpu || take_cpu();
	if (in) {
		smp_self.number = take_number();
		smp_self.next = smp_threads;
		if (smp_threads)
			smp_threads->prev = &smp_self;
		smp_threads = &smp_self;
	}
	smp_threads_unlock();
	if (in)
		smp_rcu_register();
	return in;
}

void smp_leave(void)
{
	smp_order_leave();
	smp_rcu_unregister();
	smp_threads_lock();
	if (smp_self.cpu) {
		smp_self.cpu->root = 0;
		for (unsigned i = 0; i < smp_nr_cpus; i++)
			if (smp_cpus[i] == smp_self.cpu)
				in_use[i] = false;
		cpus_in_use--;
	}
	if (smp_self.prev)
		smp_self.prev->next = smp_self.next;
	else
		smp_threads = smp_self.next;
	if (smp_self.next)
		smp_self.next->prev = smp_self.prev;
	smp_self.cpu = NULL;
	numbers &= ~(UINT64_C(1) << smp_self.number);
	smp_threads_unlock();
}

void smp_counts(struct smp_counts *sum)
{
	*sum = (struct smp_counts){0};
	for (unsigned i = 0; i < smp_nr_cpus; i++) {
		const struct smp_counts *c = &smp_cpus[i]->counts;

		sum->accesses += c->accesses;
		sum->misses += c->misses;
		sum->faults += c->faults;
		sum->set_ad += c->set_ad;
		sum->tlbi += c->tlbi;
		sum->waits += c->waits;
		sum->dropped += c->dropped;
	}
}

void smp_dawdle(void)
{
	uint32_t n;

	if (PF_LIKELY(!smp_port.slow_one_in) ||
		smp_random_of(&smp_self.random) % smp_port.slow_one_in)
		return;
	n = smp_random_of(&smp_self.random) % 64;
	for (unsigned i = 0; i < n * 64; i++)
		__asm__ volatile("" ::: "memory");
	if (n & 1)
		sched_yield();
}

/* ---- memory ---- */

bool smp_fail_alloc(void)
{
	return smp_self.cpu && !(smp_random_of(&smp_self.random) % smp_port.fail_one_in);
}

void *smp_meta_alloc(size_t bytes)
{
	void *p;

	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_sleeps("metadata is asked for");
	p = malloc(bytes);
	if (p)
		pf_add_relaxed(&meta_bytes, bytes);
	return p;
}

void smp_meta_free(void *p, size_t bytes)
{
	if (PF_UNLIKELY(smp_port.check_order))
		smp_order_sleeps("metadata is given back");
	if (p)
		pf_add_relaxed(&meta_bytes, -(uint64_t)bytes);
	free(p);
}

uint64_t smp_meta_bytes(void)
{
	return pf_load_relaxed(&meta_bytes);
}

/*
 * Pages, and tables, by words that programs and walkers may look at meanwhile. ThreadSanitizer is to see them so; otherwise the
 * compiler's are as good on hardware whose aligned words do not tear, and faster. The release orders them before what
 * maps them; its other half is the walker's acquire.
 */
void smp_clear(void *p, size_t bytes)
{
#ifdef SMP_TSAN
	uint64_t *w = p;

	for (size_t i = 0; i < bytes / 8; i++)
		pf_store_relaxed(&w[i], 0);
#else
	memset(p, 0, bytes);
#endif
	smp_fence_release();
}

void smp_copy(void *dst, const void *src, size_t bytes)
{
#ifdef SMP_TSAN
	const uint64_t *from = src;
	uint64_t *to = dst;

	for (size_t i = 0; i < bytes / 8; i++)
		pf_store_relaxed(&to[i], pf_load_relaxed(&from[i]));
#else
	memcpy(dst, src, bytes);
#endif
	smp_fence_release();
}
