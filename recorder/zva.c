/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DC ZVA, with which arm64's memset and calloc clear memory. QEMU 7 does it with one host memset and
 * calls no plugin, and the plugin interface, version 1, shows no registers. But:
 *
 *   - QEMU's generated code on x86-64 keeps the address of the guest's CPU state in RBP.
 *   - A helper that may read guest registers finds them all in that state (the helper for DC ZVA
 *     does), and DC ZVA changes none. So a callback before the *next* instruction can read the
 *     operand there.
 *   - In that state x0 to x30, SP and PC follow each other, behind the 16 words of r0 to r15.
 *
 * The last is checked where it can be seen: at a program's first instruction x0 to x30 are 0, SP is
 * aligned and not 0, and PC is the instruction's own address. Where it does not hold, and on other
 * hosts, DC ZVA is counted as not captured.
 */
#include "recorder.h"

#define XREGS_OFFSET 64u

static void zva_missed(unsigned vcpu, void *data)
{
	(void)vcpu, (void)data;
	rec_not_captured("dc zva", 1);
}

#if defined(__x86_64__)

static enum { UNKNOWN, RIGHT, WRONG } layout;

/* Callbacks that pass RBP on as a third argument. */
__attribute__((visibility("hidden"))) void zva_after_asm(unsigned vcpu, void *data);
__attribute__((visibility("hidden"))) void zva_first_asm(unsigned vcpu, void *data);
void zva_after(unsigned vcpu, uint64_t reg, const char *env);
void zva_first(unsigned vcpu, uint64_t vaddr, const char *env);

__asm__(".pushsection .text\n"
	".globl zva_after_asm\n"
	".hidden zva_after_asm\n"
	"zva_after_asm:\n"
	"	mov %rbp, %rdx\n"
	"	jmp zva_after\n"
	".globl zva_first_asm\n"
	".hidden zva_first_asm\n"
	"zva_first_asm:\n"
	"	mov %rbp, %rdx\n"
	"	jmp zva_first\n"
	".popsection\n");

void zva_first(unsigned vcpu, uint64_t vaddr, const char *env)
{
	const uint64_t *x = (const uint64_t *)(env + XREGS_OFFSET);
	uint64_t any = 0;

	(void)vcpu;
	if (layout != UNKNOWN)
		return;
	for (int i = 0; i < 31; i++)
		any |= x[i];
	layout = !any && x[31] && !(x[31] & 15) && x[32] == vaddr ? RIGHT : WRONG;
}

void zva_after(unsigned vcpu, uint64_t reg, const char *env)
{
	struct rec_lane *l = rec_lane_of[vcpu];
	uint64_t addr = reg == 31 ? 0 : *(const uint64_t *)(env + XREGS_OFFSET + 8 * reg);

	if (layout != RIGHT || !rec->zva_bytes) {
		zva_missed(vcpu, NULL);
		return;
	}
	/* The top byte is not part of the address. */
	addr = addr << 8 >> 8;
	access_write(l, addr & -(uint64_t)rec->zva_bytes);
}

void zva_translate(
	struct qemu_plugin_insn *insn, struct qemu_plugin_insn *next, bool first_of_program)
{
	const uint8_t *p = qemu_plugin_insn_data(insn);
	uint32_t word =
		(uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;

	if (first_of_program)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, zva_first_asm, QEMU_PLUGIN_CB_R_REGS,
			(void *)(uintptr_t)qemu_plugin_insn_vaddr(insn));
	/* SYS #3, C7, C4, #1, Xt */
	if ((word & ~31u) != 0xd50b7420u)
		return;
	if (next)
		qemu_plugin_register_vcpu_insn_exec_cb(
			next, zva_after_asm, QEMU_PLUGIN_CB_R_REGS, (void *)(uintptr_t)(word & 31));
	else
		qemu_plugin_register_vcpu_insn_exec_cb(
			insn, zva_missed, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

#else

void zva_translate(
	struct qemu_plugin_insn *insn, struct qemu_plugin_insn *next, bool first_of_program)
{
	const uint8_t *p = qemu_plugin_insn_data(insn);

	(void)next, (void)first_of_program;
	if ((p[0] & 0xe0) == 0x20 && p[1] == 0x74 && p[2] == 0x0b && p[3] == 0xd5)
		qemu_plugin_register_vcpu_insn_exec_cb(
			insn, zva_missed, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

#endif
