/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "rig.h"

struct rig rig;
static const char *fmt;
static struct pf_spinlock locks[64];

static bool is(const char *name)
{
	return !strcmp(fmt, name);
}

uint64_t rig_table_bytes(void)
{
	return UINT64_C(8) << rig.level_bits;
}

uint64_t rig_empty(void)
{
	return is("fake-inv") ? 1 : is("fake-nz") ? UINT64_C(7) << 61 : 0;
}

uint64_t rig_table_word(uint64_t pa)
{
	if (is("arm64-4k"))
		return pa | A_TABLE;
	if (is("fake-inv"))
		return pa >> 12 << 24 | 2;
	if (is("fake-nz"))
		return UINT64_C(1) << 61 | pa >> 12 << 21;
	return (pa >> 12 & 0xfffff) << 12 | (pa >> 32) << 32 | 0x11;
}

uint64_t rig_memory(uint64_t bytes, uint64_t align)
{
	uint64_t pa = (rig.next + align - 1) & ~(align - 1);

	rig.next = pa + bytes;
	return pa;
}

uint64_t rig_folio(unsigned nr)
{
	uint64_t bytes = (uint64_t)nr << 12;
	uint64_t pa = rig_memory(bytes, bytes < 65536 ? 65536 : bytes);

	pf_port_note_alloc(PF_USE_ANON, pa, bytes);
	return pa;
}

uint64_t *rig_slot(uint64_t table, unsigned idx)
{
	return (uint64_t *)pf_port_virt(table) + idx;
}

void rig_put(uint64_t table, unsigned idx, uint64_t v, bool release)
{
	uint32_t *w = (uint32_t *)rig_slot(table, idx);

	if (!is("fake-2w")) {
		pf_port_entry_store(rig_slot(table, idx), v, release);
		return;
	}
	if (!(v & 1))
		pf_port_entry_store32(w, (uint32_t)v, release);
	pf_port_entry_store32(w + 1, (uint32_t)(v >> 32), false);
	if (v & 1)
		pf_port_entry_store32(w, (uint32_t)v, true);
}

uint64_t rig_table(void)
{
	uint64_t bytes = rig_table_bytes() < 4096 ? 4096 : rig_table_bytes();
	uint64_t pa = rig_memory(bytes, bytes);

	pf_port_note_alloc(PF_USE_TABLE, pa, bytes);
	for (unsigned i = 0; i < 1u << rig.level_bits; i++)
		rig_put(pa, i, rig_empty(), false);
	return pa;
}

void rig_start_unloaded(const char *format, const char *features, uint64_t seed)
{
	struct machine_config cfg = {
		.format = format, .memory = 32 << 20, .cpus = 3, .seed = seed, .late_walks = true};

	assert_true(machine_features(format, features, &cfg.features));
	if (machine_start(&cfg))
		fail_msg("%s", machine_error());
	memset(locks, 0, sizeof(locks));
	fmt = format;
	rig.levels = is("fake-2w") ? 3 : 4;
	rig.level_bits = is("fake-inv") ? 7 : is("fake-2w") ? 11 : 9;
	rig.next = MACHINE_RAM_BASE + (1 << 20);
	for (unsigned l = 0; l < rig.levels; l++) {
		rig.table[l] = rig_table();
		if (l) {
			pf_port_barrier(PF_BARRIER_LINK);
			rig_put(rig.table[l], 0, rig_table_word(rig.table[l - 1]), true);
		}
	}
}

void rig_load(void)
{
	publish();
	machine_set_root(0, rig.table[rig.levels - 1], ASID);
	machine_set_root(1, rig.table[rig.levels - 1], ASID);
}

void rig_start(const char *format, const char *features, uint64_t seed)
{
	rig_start_unloaded(format, features, seed);
	rig_load();
}

static struct pf_spinlock *lock_word(uint64_t table)
{
	return &locks[(table - MACHINE_RAM_BASE) / 4096 % 64];
}

void lock_of(uint64_t table)
{
	pf_port_spin_lock(lock_word(table), PF_LOCK_TABLE, table);
}

void unlock_of(uint64_t table)
{
	pf_port_spin_unlock(lock_word(table), PF_LOCK_TABLE, table);
}

void lock(void)
{
	lock_of(rig.table[0]);
}

void unlock(void)
{
	unlock_of(rig.table[0]);
}

uint64_t ld(unsigned i)
{
	return pf_port_entry_load(rig_slot(rig.table[0], i));
}

void st(unsigned i, uint64_t v)
{
	pf_port_entry_store(rig_slot(rig.table[0], i), v, false);
}

uint64_t xc(unsigned i, uint64_t v)
{
	return pf_port_entry_xchg(rig_slot(rig.table[0], i), v);
}

bool cas(unsigned i, uint64_t old, uint64_t v)
{
	return pf_port_entry_cas(rig_slot(rig.table[0], i), &old, v);
}

uint64_t raw(unsigned i)
{
	return *rig_slot(rig.table[0], i);
}

void publish(void)
{
	pf_port_barrier(PF_BARRIER_PUBLISH);
}

void complete(void)
{
	pf_port_barrier(PF_BARRIER_COMPLETE);
}

void invalidate(uint64_t va, unsigned nr, int level, bool leaf_only, bool local)
{
	if (!is("arm64-4k")) {
		pf_port_tlbi(PF_TLBI_FAKE, (uint64_t)ASID << 48 | va >> 12,
			(nr - 1) | (uint64_t)(level < 0 ? 7 : level) << 32 |
				(uint64_t)leaf_only << 40 | (uint64_t)local << 42);
		return;
	}
	for (unsigned i = 0; i < nr; i++)
		pf_port_tlbi(local ? (leaf_only ? PF_TLBI_VALE1 : PF_TLBI_VAE1)
				   : (leaf_only ? PF_TLBI_VALE1IS : PF_TLBI_VAE1IS),
			(uint64_t)ASID << 48 | (level < 0 ? 0 : (uint64_t)(4 | (3 - level)) << 44) |
				((va >> 12) + i),
			0);
}

void invalidate_asid(unsigned asid)
{
	if (is("arm64-4k"))
		pf_port_tlbi(PF_TLBI_ASIDE1IS, (uint64_t)asid << 48, 0);
	else
		pf_port_tlbi(
			PF_TLBI_FAKE, (uint64_t)asid << 48, UINT64_C(7) << 32 | UINT64_C(1) << 41);
}

void tlbi(unsigned first, unsigned nr)
{
	invalidate(VA(first), nr, 0, true, false);
}

void flush(unsigned first, unsigned nr)
{
	publish();
	tlbi(first, nr);
	complete();
}

void put16(unsigned first, uint64_t pa, uint64_t attrs)
{
	for (unsigned i = 0; i < 16; i++)
		st(first + i, (pa + VA(i)) | attrs);
}

void clear16(unsigned first)
{
	for (unsigned i = 0; i < 16; i++)
		xc(first + i, 0);
}
