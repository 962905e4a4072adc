/* SPDX-License-Identifier: MIT */
/*
 * Accesses that can be counted by hand, and no stack: see test_record.c.
 *   read of 16 pages into `buffer`; 1000 times over 64 pages of `array`, a load and a store each;
 *   100 stores across the end of array's first page.
 */
	.globl _start
	.text
_start:
	xor %edi, %edi
	lea buffer(%rip), %rsi
	mov $65536, %edx
	xor %eax, %eax		/* read */
	syscall
	mov $1000, %r12d
1:	lea array(%rip), %rbx
	mov $64, %ecx
2:	mov (%rbx), %rax
	mov %rax, 8(%rbx)
	add $4096, %rbx
	dec %ecx
	jnz 2b
	dec %r12d
	jnz 1b
	lea array+4092(%rip), %rbx
	mov $100, %ecx
3:	mov %rax, (%rbx)
	dec %ecx
	jnz 3b
	xor %edi, %edi
	mov $65536, %esi
	mov $3, %edx
	mov $0x22, %r10d
	mov $-1, %r8
	xor %r9d, %r9d
	mov $9, %eax		/* mmap */
	syscall
	mov %rax, %rbx
	mov %rbx, %rdi
	mov $4096, %esi
	mov $4, %edx
	mov $28, %eax		/* madvise */
	syscall
	mov %rbx, %rdi
	mov $65536, %esi
	mov $11, %eax		/* munmap */
	syscall
	mov $7, %edi
	mov $231, %eax		/* exit_group */
	syscall

	.bss
	.balign 4096
array:	.skip 64 * 4096
buffer:	.skip 16 * 4096
	.section .note.GNU-stack, "", @progbits
