/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens at every access. A run is a thread's consecutive data accesses to one page; while it
 * lasts, an access costs a comparison and an addition. Instruction pages ride along: each memory
 * callback carries the page of its instruction, so only translation blocks that may access no
 * memory need a callback of their own.
 */
#include "recorder.h"

#include <stdio.h>

/* No access is longer (QEMU splits what is), so one that begins earlier does not leave its page. */
#define LONGEST_ACCESS 16u
/* Counts in a word. */
#define ONE_ACCESS REC_WORD(0, 0, 1)
#define FULL_COUNT REC_WORD(0, 0, REC_COUNT_MAX)

static __attribute__((noinline)) void enter_code(struct rec_lane *l, uint64_t page)
{
	uint64_t *w = lane_word(l);

	*w = REC_WORD(page, REC_TAG_CODE, 0);
	l->code = page;
	lane_commit(l, w);
}

/*
 * Which bit of a meminfo says that the access was a store. (QEMU 7.2 mistakes the filter of a memory
 * callback: one that asks for reads is called for stores only. So one callback takes all.)
 */
static unsigned store_bit;

/* What QEMU 5 to 8 have; on_access is compiled for it. */
#define USUAL_STORE_BIT 17u

static bool find_store_bit(void)
{
	unsigned found = 0;

	for (unsigned i = 0; i < 32; i++)
		if (qemu_plugin_mem_is_store(1u << i)) {
			store_bit = i;
			found++;
		}
	return found == 1 && !qemu_plugin_mem_is_store(0) &&
	       !qemu_plugin_mem_is_store(~(1u << store_bit));
}

/* kind: the bit of the tag that an access adds; first: the word's tag and count if a run begins. */
static inline __attribute__((always_inline)) void one_page(
	struct rec_lane *l, uint64_t page, uint64_t kind, uint64_t first)
{
	/* Relaxed: cut_runs of another thread may store. */
	if (page == __atomic_load_n(&l->page, __ATOMIC_RELAXED)) {
		uint64_t run = *l->run;

		if (__builtin_expect((run & FULL_COUNT) != FULL_COUNT, 1)) {
			*l->run = (run + ONE_ACCESS) | kind;
			return;
		}
	}
	uint64_t *w = lane_word(l);
	*w = page << 20 | first;
	l->run = w;
	lane_commit(l, w);
	__atomic_store_n(&l->page, page, __ATOMIC_RELAXED);
}

/* The tag's bits of one access; 1 is TRACE_RUN_READ, 2 _WRITE. */
#define KIND(store) (UINT64_C(1) + (store))
/* Tag and count of a run that begins: 1, or 2 and 4 (_WRITE_FIRST). */
#define FIRST(store) (UINT64_C(1) + 5 * (store) + ONE_ACCESS)

_Static_assert(REC_TAG_READ == 1 && REC_TAG_WRITE == 6 &&
		       REC_TAG_READ_WRITE == (REC_TAG_READ | 2) &&
		       REC_TAG_WRITE_READ == (REC_TAG_WRITE | 1),
	"KIND, FIRST");

static __attribute__((noinline)) void access_slow(
	struct rec_lane *l, qemu_plugin_meminfo_t info, uint64_t vaddr, uint64_t code)
{
	uint64_t store = info >> store_bit & 1;
	uint64_t last = vaddr + (UINT64_C(1) << qemu_plugin_mem_size_shift(info)) - 1;

	if (code != l->code)
		enter_code(l, code);
	one_page(l, vaddr >> PAGE_SHIFT, KIND(store), FIRST(store));
	if (last >> PAGE_SHIFT != vaddr >> PAGE_SHIFT)
		one_page(l, last >> PAGE_SHIFT, KIND(store), FIRST(store));
}

void access_write(struct rec_lane *l, uint64_t addr)
{
	one_page(l, addr >> PAGE_SHIFT, KIND(1), FIRST(1));
}

static void on_access_any(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	access_slow(rec_lane_of[vcpu], info, vaddr, (uintptr_t)data);
}

/*
 * access_slow's common case, written out so that it calls nothing: a function that only ends in
 * calls saves no registers, and this is where the recorder's time goes.
 */
static void on_access(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	struct rec_lane *l = rec_lane_of[vcpu];
	uint64_t page = vaddr >> PAGE_SHIFT, store = info >> USUAL_STORE_BIT & 1;

	if (__builtin_expect((uintptr_t)data != l->code, 0) ||
		__builtin_expect((vaddr & (PAGE_BYTES - 1)) > PAGE_BYTES - LONGEST_ACCESS, 0)) {
		access_slow(l, info, vaddr, (uintptr_t)data);
		return;
	}
	if (page == __atomic_load_n(&l->page, __ATOMIC_RELAXED)) {
		uint64_t run = *l->run;

		if (__builtin_expect((run & FULL_COUNT) != FULL_COUNT, 1)) {
			*l->run = (run + ONE_ACCESS) | KIND(store);
			return;
		}
	}
	uint64_t *w = l->cur + 1;
	if (__builtin_expect(w >= __atomic_load_n(&l->limit, __ATOMIC_RELAXED), 0)) {
		access_slow(l, info, vaddr, (uintptr_t)data);
		return;
	}
	*w = page << 20 | FIRST(store);
	l->run = w;
	lane_commit(l, w);
	__atomic_store_n(&l->page, page, __ATOMIC_RELAXED);
}

static void on_code(unsigned vcpu, void *data)
{
	struct rec_lane *l = rec_lane_of[vcpu];

	if ((uintptr_t)data != l->code)
		enter_code(l, (uintptr_t)data);
}

/*
 * True of x86-64 instructions that access memory whenever they are executed (Intel SDM vol. 2,
 * appendix A: opcode maps). False means only that this function does not know.
 */
static bool x86_surely_accesses(const uint8_t *p, size_t len)
{
	size_t i = 0;

	while (i < len && (p[i] == 0x66 || p[i] == 0x64 || p[i] == 0x65 || p[i] == 0x67 ||
				  p[i] == 0xf0 || p[i] == 0x2e || p[i] == 0x3e))
		i++;
	if (i < len && (p[i] & 0xf0) == 0x40) /* REX */
		i++;
	if (i >= len)
		return false;
	uint8_t op = p[i];
	/* PUSH, POP, PUSH imm, RET, CALL, LEAVE */
	if ((op >= 0x50 && op <= 0x5f) || op == 0x68 || op == 0x6a || op == 0xc2 || op == 0xc3 ||
		op == 0xe8 || op == 0xc9)
		return true;
	if (i + 1 >= len)
		return false;
	bool memory = p[i + 1] < 0xc0; /* ModRM.mod is not 3 */
	/* ALU r/m; MOVSXD; group 1; TEST, XCHG, MOV; groups 11, 3, 4, 5 */
	if ((op < 0x40 && (op & 7) < 4 && op != 0x0f) || op == 0x63 || op == 0x80 || op == 0x81 ||
		op == 0x83 || (op >= 0x84 && op <= 0x8b) || op == 0xc6 || op == 0xc7 ||
		op == 0xf6 || op == 0xf7 || op == 0xfe || op == 0xff)
		return memory;
	if (op != 0x0f || i + 2 >= len)
		return false;
	op = p[i + 1];
	/* MOVUPS, MOVAPS, MOVDQA, MOVZX, MOVSX */
	return (op == 0x10 || op == 0x11 || op == 0x28 || op == 0x29 || op == 0x6f || op == 0x7f ||
		       op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf) &&
	       p[i + 2] < 0xc0;
}

/*
 * The same of A64: load/store pair and load/store register (Arm ARM C4.1, loads and stores), but not
 * prefetches, and not exclusives, of which a store may fail.
 */
static bool arm64_surely_accesses(const uint8_t *p, size_t len)
{
	if (len != 4)
		return false;
	uint32_t insn =
		(uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
	if ((insn & 0x3a000000) == 0x28000000) /* pair, no-allocate included */
		return true;
	if ((insn & 0x3a000000) ==
		0x38000000) /* register; size 3, opc 2 of the integer ones is PRFM */
		return !((insn & 0x04000000) == 0 && insn >> 30 == 3 && (insn >> 22 & 3) == 2);
	return false;
}

static bool surely_accesses(const struct qemu_plugin_insn *insn)
{
	const uint8_t *p = qemu_plugin_insn_data(insn);
	size_t len = qemu_plugin_insn_size(insn);

	return recorder.aarch64 ? arm64_surely_accesses(p, len) : x86_surely_accesses(p, len);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	uint64_t page = NO_PAGE;
	struct qemu_plugin_insn *first = NULL; /* of the current page */
	bool sure = true, first_of_program = !recorder.base_known;

	(void)id;
	if (!n)
		return;
	if (first_of_program) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, 0);
		recorder.guest_base =
			(uintptr_t)qemu_plugin_insn_haddr(insn) - qemu_plugin_insn_vaddr(insn);
		recorder.base_known = true;
		rec->guest_base = recorder.guest_base;
	}
	qemu_plugin_register_vcpu_tb_exec_inline(
		tb, QEMU_PLUGIN_INLINE_ADD_U64, &rec->instructions, n);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t at = qemu_plugin_insn_vaddr(insn) >> PAGE_SHIFT;

		if (at != page) {
			if (!sure)
				qemu_plugin_register_vcpu_insn_exec_cb(first, on_code,
					QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)page);
			page = at;
			first = insn;
			sure = false;
		}
		sure = sure || surely_accesses(insn);
		if (recorder.aarch64)
			zva_translate(insn, i + 1 < n ? qemu_plugin_tb_get_insn(tb, i + 1) : NULL,
				first_of_program && !i);
		qemu_plugin_register_vcpu_mem_cb(insn,
			store_bit == USUAL_STORE_BIT ? on_access : on_access_any,
			QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, (void *)(uintptr_t)at);
	}
	if (!sure)
		qemu_plugin_register_vcpu_insn_exec_cb(
			first, on_code, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)page);
}

bool access_init(qemu_plugin_id_t id)
{
	if (!find_store_bit()) {
		fprintf(stderr, "pagefold: the recorder does not understand this QEMU's memory "
				"callbacks\n");
		return false;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return true;
}
