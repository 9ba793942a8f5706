; SPDX-License-Identifier: MIT
; From the boot loader's 32-bit protected mode to C in 64-bit mode.
;
; Promises boot_main(magic, info): long mode, the first 4 GiB mapped one to one
; and writable, .bss cleared, a stack, interrupts off. It needs a CPU with long
; mode and NX; on any other it says so on COM1 and halts.
;
; The tables made here live only until arch/x86/cpu/paging.c has built the
; final ones, which have real rights.

%include "arch/x86/cpu/x86.inc"

extern boot_main, bss_start, bss_end

BOOT_STACK_BYTES equ 16 * 1024

section .boot.text progbits alloc exec nowrite align=16
bits 32
global boot_start
boot_start:
	cli
	cld
	mov	ebp, eax		; the loader's magic
	mov	esi, ebx		; the loader's information

	; Not every loader clears .bss.
	mov	edi, bss_start
	mov	ecx, bss_end
	sub	ecx, edi
	shr	ecx, 2
	xor	eax, eax
	rep stosd

	mov	esp, boot_stack_top
	call	require_long_mode

	; 4 GiB one to one in 2 MiB pages: PML4 -> PDPT -> four directories.
	mov	dword [boot_pml4], boot_pdpt + PTE_PRESENT_WRITABLE
	mov	edi, boot_pdpt
	mov	eax, boot_directories + PTE_PRESENT_WRITABLE
	mov	ecx, 4
.pdpt:	mov	[edi], eax
	add	eax, 4096
	add	edi, 8
	loop	.pdpt
	mov	edi, boot_directories
	mov	eax, PTE_PRESENT_WRITABLE | PTE_LARGE
	mov	ecx, 4 * 512
.pages:	mov	[edi], eax
	add	eax, 2 << 20
	add	edi, 8
	loop	.pages

	; SDM vol. 3, "Initializing IA-32e Mode". Of what the firmware had in
	; CR4 and CR0 nothing stays: with LA57 these would not be four levels.
	mov	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, boot_pml4
	mov	cr3, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME | EFER_NXE
	wrmsr
	mov	eax, CR0_PG | CR0_WP | CR0_PE
	mov	cr0, eax
	lgdt	[boot_gdt_pointer]
	jmp	SELECTOR_CODE:.long_mode

bits 64
.long_mode:
	mov	eax, SELECTOR_DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
	mov	esp, boot_stack_top
	mov	edi, ebp
	mov	esi, esi
	xor	ebp, ebp		; ends the backtrace
	call	boot_main
.stop:	cli
	hlt
	jmp	.stop

bits 32
; Returns if the CPU has long mode and NX, else says what is missing and halts.
require_long_mode:
	mov	eax, 0x80000000
	cpuid
	cmp	eax, 0x80000001
	jb	.missing
	mov	eax, 0x80000001
	cpuid
	and	edx, CPUID_80000001_EDX_LM | CPUID_80000001_EDX_NX
	cmp	edx, CPUID_80000001_EDX_LM | CPUID_80000001_EDX_NX
	jne	.missing
	ret
.missing:
	mov	dx, COM1 + 3		; no loader need have set the line up:
	mov	al, LCR_DLAB
	out	dx, al
	mov	dx, COM1		; 115200 baud
	mov	al, 1
	out	dx, al
	inc	dx
	xor	eax, eax
	out	dx, al
	mov	dx, COM1 + 3
	mov	al, LCR_8N1
	out	dx, al
	mov	ebx, no_long_mode
.next:	mov	dx, COM1 + 5		; line status: wait until it can send
	in	al, dx
	test	al, 1 << 5
	jz	.next
	mov	al, [ebx]
	test	al, al
	jz	.halt
	mov	dx, COM1
	out	dx, al
	inc	ebx
	jmp	.next
.halt:	cli
	hlt
	jmp	.halt

section .rodata
no_long_mode:
	db "umbra: this CPU has no 64-bit mode with NX; Umbra needs both.", 13, 10, 0

	align 8
boot_gdt:
	dq 0
	dq GDT_CODE64
	dq GDT_DATA
boot_gdt_pointer:
	dw $ - boot_gdt - 1
	dq boot_gdt

section .bss nobits alloc write align=4096
boot_pml4:	resb 4096
boot_pdpt:	resb 4096
boot_directories: resb 4 * 4096
; The page below the stack stays unmapped once the final tables are in force.
global boot_stack_guard, boot_stack_top
boot_stack_guard: resb 4096
	resb BOOT_STACK_BYTES
boot_stack_top:
