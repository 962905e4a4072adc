/* SPDX-License-Identifier: MIT */
/*
 * The machine without a judge: one CPU's walker, which reads the tables as they are and caches nothing. For
 * measurements, and for running scenarios at full speed.
 */
#include "machine.h"
#include "mmu.h"
#include "port_state.h"

#if !PF_JUDGE

static struct {
	uint64_t root[64];
	uint16_t asid[64];
	unsigned cpu;
} m;

void machine_measure_start(void)
{
	for (unsigned i = 0; i < PF_ARRAY_SIZE(m.root); i++)
		m.root[i] = 0;
	m.cpu = 0;
}

unsigned machine_cpu(void)
{
	return m.cpu;
}

void machine_run_on(unsigned cpu)
{
	m.cpu = cpu;
}

void machine_set_cpu(unsigned cpu)
{
	m.cpu = cpu;
}

void machine_set_root(unsigned cpu, uint64_t root_pa, uint16_t asid)
{
	m.root[cpu] = root_pa;
	m.asid[cpu] = asid;
}

void machine_retire_asid(uint16_t asid)
{
	(void)asid;
}

static uint64_t *find(uint64_t va, struct mmu_entry *e)
{
	const struct mmu_format *f = machine_format;
	uint64_t pa = m.root[m.cpu];

	if (!pa || va >> f->va_bits)
		return NULL;
	machine_counters.tlb_miss++;
	for (unsigned level = f->levels; level-- > 0;) {
		unsigned idx = mmu_index(f, va, level);
		uint64_t *word = (uint64_t *)pf_port_virt(pa) + idx;

		machine_counters.walk_load++;
		f->decode(*word, level, idx, machine_features_on, e);
		if (!e->table)
			return e->leaf ? word : NULL;
		pa = e->pa;
	}
	return NULL;
}

static struct machine_fault access(uint64_t va, enum machine_access kind)
{
	const struct mmu_format *f = machine_format;
	struct mmu_entry e;
	uint64_t *word = find(va, &e);
	bool may;

	if (!word)
		return (struct machine_fault){.fault = true};
	may = kind == MACHINE_READ   ? e.user && e.r
	      : kind == MACHINE_EXEC ? e.x
				     : e.user && (e.w || e.dbm);
	if (!may || (!e.accessed && !(machine_features_on & PF_FEAT_HAF)))
		return (struct machine_fault){.fault = true, .present = true};
	if (!e.accessed) {
		*word = f->set_a(*word);
		machine_counters.walk_ad++;
	}
	if (kind == MACHINE_WRITE && !e.w) {
		*word = f->set_d(*word);
		machine_counters.walk_ad++;
	}
	return (struct machine_fault){
		.present = true,
		.pa = e.pa + (va & ((UINT64_C(1) << mmu_level_shift(f, e.level)) - 1)),
	};
}

static uint64_t *data(const struct machine_fault *f)
{
	if (f->fault || machine_port.no_data || f->pa - MACHINE_RAM_BASE >= machine_memory)
		return NULL;
	return pf_port_virt(f->pa & ~UINT64_C(7));
}

struct machine_fault machine_load(uint64_t va, uint64_t *value)
{
	struct machine_fault f = access(va, MACHINE_READ);
	const uint64_t *p = data(&f);

	*value = p ? *p : 0;
	return f;
}

struct machine_fault machine_store(uint64_t va, uint64_t value)
{
	struct machine_fault f = access(va, MACHINE_WRITE);
	uint64_t *p = data(&f);

	if (p)
		*p = value;
	return f;
}

struct machine_fault machine_store_begin(uint64_t va, uint64_t value)
{
	return machine_store(va, value);
}

struct machine_fault machine_store_end(void)
{
	return (struct machine_fault){0};
}

struct machine_fault machine_exec(uint64_t va)
{
	return access(va, MACHINE_EXEC);
}

void machine_touch(uint64_t va)
{
	if (!access(va, MACHINE_READ).fault)
		access(va, MACHINE_WRITE);
}

void machine_note_store(uint64_t va)
{
	(void)va;
}

void machine_check_quiescent(uint16_t asid)
{
	(void)asid;
	machine_rcu_drain();
}

uint64_t machine_check_end(void)
{
	machine_rcu_drain();
	return machine_meta_bytes();
}

void machine_rcu_drain(void)
{
	while (machine_port.rcu_head) {
		struct pf_rcu_head *h = machine_port.rcu_head;

		machine_port.rcu_head = h->next;
		if (!h->next)
			machine_port.rcu_tail = &machine_port.rcu_head;
		machine_rcu_run(h);
	}
}

void machine_set_schedule(void (*point)(void *ctx, bool blocked), void *ctx)
{
	(void)point;
	(void)ctx;
}

void machine_adversary(bool on)
{
	(void)on;
}

void machine_look(bool on)
{
	(void)on;
}

#endif
