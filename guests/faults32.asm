; SPDX-License-Identifier: MIT
;
; A storm of alignment checks for the guest `faults`.
;
; In 32-bit protected mode, at privilege level 3, with a misaligned stack and
; alignment checks on: the handler of #AC runs at level 3 as well, so that its
; frame goes to the same stack and the delivery of one #AC raises the next. No
; instruction is executed between them; unless #AC exits, the CPU never leaves
; the guest again. There is no such handler in long mode, hence the way back.

CODE64		equ 0x08
CODE32		equ 0x10
DATA32		equ 0x18
USER_CODE	equ 0x20 | 3
USER_DATA	equ 0x28 | 3

CR0_PAGING	equ 1 << 31
CR0_AM		equ 1 << 18
RFLAGS_AC	equ 1 << 18
MSR_EFER	equ 0xc0000080
EFER_LME	equ 1 << 8

VECTOR_AC	equ 17
GATE_USER_32	equ 0xee00		; present, DPL 3, 32-bit interrupt gate

section .text
bits 64
global alignment_storm
alignment_storm:
	cli
	lgdt	[gdt_pointer]
	push	CODE32
	push	.compatible
	retfq
bits 32
.compatible:
	mov	eax, cr0
	and	eax, ~CR0_PAGING
	or	eax, CR0_AM
	mov	cr0, eax
	mov	ecx, MSR_EFER
	rdmsr
	and	eax, ~EFER_LME
	wrmsr
	mov	ax, DATA32
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, .user		; where the gate leads, too
	mov	[idt + VECTOR_AC * 8], ax
	mov	word [idt + VECTOR_AC * 8 + 2], USER_CODE
	mov	word [idt + VECTOR_AC * 8 + 4], GATE_USER_32
	shr	eax, 16
	mov	[idt + VECTOR_AC * 8 + 6], ax
	lidt	[idt_pointer]
	mov	esp, stack_end
	push	USER_DATA
	push	stack_end - 1
	push	RFLAGS_AC | 2
	push	USER_CODE
	push	.user
	iretd
.user:
	push	eax
	jmp	.user

section .data
align 8
gdt:
	dq	0
	dq	0x00af9b000000ffff	; CODE64
	dq	0x00cf9b000000ffff	; CODE32
	dq	0x00cf93000000ffff	; DATA32
	dq	0x00cffb000000ffff	; USER_CODE
	dq	0x00cff3000000ffff	; USER_DATA
gdt_end:
gdt_pointer:
	dw	gdt_end - gdt - 1
	dq	gdt
idt_pointer:
	dw	(VECTOR_AC + 1) * 8 - 1
	dd	idt

section .bss nobits align=16
idt:	resb (VECTOR_AC + 1) * 8
	resb 4096
stack_end:
	resb 16
