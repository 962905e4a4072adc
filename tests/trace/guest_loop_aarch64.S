/* SPDX-License-Identifier: MIT */
/* As guest_loop_x86_64.S, and 512 times DC ZVA, over eight pages of `cleared`. */
	.globl _start
	.text
_start:
	mov x0, #0
	adrp x1, buffer
	mov x2, #65536
	mov x8, #63		/* read */
	svc #0
	mov x12, #1000
1:	adrp x1, array
	mov x2, #64
2:	ldr x3, [x1]
	str x3, [x1, #8]
	add x1, x1, #4096
	subs x2, x2, #1
	b.ne 2b
	subs x12, x12, #1
	b.ne 1b
	adrp x1, array
	add x1, x1, #4092
	mov x2, #100
3:	str x3, [x1]
	subs x2, x2, #1
	b.ne 3b
	adrp x1, cleared
	mov x2, #512
4:	dc zva, x1
	add x1, x1, #64
	subs x2, x2, #1
	b.ne 4b
	mov x0, #0
	mov x1, #65536
	mov x2, #3
	mov x3, #0x22
	mov x4, #-1
	mov x5, #0
	mov x8, #222		/* mmap */
	svc #0
	mov x20, x0
	mov x1, #4096
	mov x2, #4
	mov x8, #233		/* madvise */
	svc #0
	mov x0, x20
	mov x1, #65536
	mov x8, #215		/* munmap */
	svc #0
	mov x0, #7
	mov x8, #94		/* exit_group */
	svc #0

	.bss
	.balign 4096
array:	.skip 64 * 4096
buffer:	.skip 16 * 4096
cleared: .skip 8 * 4096
	.section .note.GNU-stack, "", @progbits
