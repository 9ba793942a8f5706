; SPDX-License-Identifier: MIT
; Where an application processor wakes up: real mode, at the start of the page
; below 1 MiB that its start-up IPI named.
;
; arch/x86/cpu/smp.c copies the code into that page and fills in the block at
; its end, one CPU at a time. Position independent until it is in 64-bit mode.
; SDM vol. 3, "MP Initialization Protocol Algorithm for MP Systems".

%include "arch/x86/cpu/x86.inc"

section .rodata
global ap_trampoline, ap_trampoline_end, ap_trampoline_args

%define here(label) (label - ap_trampoline)

	align 16
bits 16
ap_trampoline:
	cli
	cld
	mov	ax, cs
	mov	ds, ax
	movzx	ebx, ax
	shl	ebx, 4			; ebx: our page's address, from now on

	; The GDT and both far jumps need absolute addresses.
	lea	eax, [ebx + here(ap_gdt)]
	mov	[here(ap_gdt_pointer) + 2], eax
	lea	eax, [ebx + here(ap_protected)]
	mov	[here(ap_jump_protected)], eax
	lea	eax, [ebx + here(ap_long)]
	mov	[here(ap_jump_long)], eax

	o32 lgdt [here(ap_gdt_pointer)]
	mov	eax, cr0
	or	eax, CR0_PE
	mov	cr0, eax
	jmp	far dword [here(ap_jump_protected)]

bits 32
ap_protected:
	mov	eax, SELECTOR_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	mov	eax, cr4
	or	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, [ebx + here(ap_args.cr3)]
	mov	cr3, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME | EFER_NXE
	wrmsr
	mov	eax, cr0
	or	eax, CR0_PG | CR0_WP
	and	eax, ~(3 << 29)		; caches on: INIT leaves CD and NW set
	mov	cr0, eax
	jmp	far dword [ebx + here(ap_jump_long)]

bits 64
ap_long:
	mov	rsp, [rbx + here(ap_args.stack_top)]
	mov	rdi, [rbx + here(ap_args.argument)]
	mov	rax, [rbx + here(ap_args.entry)]
	xor	ebp, ebp		; ends the backtrace
	push	rbp
	jmp	rax

	align 8
ap_gdt:	dq 0
	dq GDT_CODE64			; SELECTOR_CODE
	dq GDT_DATA			; SELECTOR_DATA
	dq GDT_CODE32
ap_gdt_pointer:
	dw $ - ap_gdt - 1
	dd 0
ap_jump_protected:
	dd 0
	dw 0x18
ap_jump_long:
	dd 0
	dw SELECTOR_CODE

; struct ap_args in arch/x86/cpu/smp.c.
	align 8
ap_trampoline_args:
ap_args:
.cr3:		dq 0
.stack_top:	dq 0
.entry:		dq 0
.argument:	dq 0
ap_trampoline_end:
