; SPDX-License-Identifier: MIT
;
; The way of every CPU of a guest from its first instruction to C.
;
;	first CPU	loader -> start: 32-bit protected mode, no paging
;	other CPUs	SIPI -> trampoline: real mode, at SMP_TRAMPOLINE
;	      both	-> enter_long_mode -> C, with a stack of their own
;
; One identity map of 4 GiB in 2 MiB pages serves all CPUs. Its top 32 MiB,
; where the interrupt controllers' registers lie, are uncached.

%include "guests/lib/layout.inc"	; from layout.h

MB1_MAGIC	equ 0x1badb002
MB1_FLAGS	equ 3			; modules page aligned, memory map

CR0_PE		equ 1 << 0
CR0_BOOT	equ CR0_PE | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31
CR4_PAE		equ 1 << 5
MSR_EFER	equ 0xc0000080
EFER_LME	equ 1 << 8
EFER_NXE	equ 1 << 11

PAGE_TABLE	equ 0x003		; present, writable
PAGE_2M		equ 0x083		; the same, large
PAGE_2M_UC	equ 0x09b		; the same, uncached
PAGES_2M	equ 2048		; 4 GiB
UNCACHED_FROM	equ 0xfe000000

extern guest_start, smp_started
extern bss_start, bss_end

section .multiboot align=4
	dd MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)

section .text
bits 32

; EAX: the loader's magic, EBX: its information. Everything else is unknown,
; and the loader need not have cleared bss.
global start
start:
	cli
	cld
	mov	ebp, eax
	mov	edi, bss_start
	mov	ecx, bss_end
	sub	ecx, edi
	xor	eax, eax
	rep stosb
	mov	esp, first_stack_end
	call	build_page_tables
	lgdt	[boot_gdt_pointer]
	jmp	SELECTOR_CODE32:.flat
.flat:
	mov	edi, ebp		; magic and information: arguments
	mov	esi, ebx
	mov	ebx, guest_start
	jmp	enter_long_mode

; Fills pml4, pdpt and four page directories. Uses EAX, ECX, EDX.
build_page_tables:
	mov	dword [pml4], pdpt + PAGE_TABLE
	mov	eax, page_directories + PAGE_TABLE
	xor	ecx, ecx
.directory:
	mov	[pdpt + ecx * 8], eax
	add	eax, 4096
	inc	ecx
	cmp	ecx, 4
	jne	.directory
	xor	edx, edx		; physical address
	xor	ecx, ecx
.page:
	lea	eax, [edx + PAGE_2M]
	cmp	edx, UNCACHED_FROM
	jb	.cached
	lea	eax, [edx + PAGE_2M_UC]
.cached:
	mov	[page_directories + ecx * 8], eax
	add	edx, 2 << 20
	inc	ecx
	cmp	ecx, PAGES_2M
	jne	.page
	ret

; Other CPUs come here from the trampoline, in flat 32-bit protected mode,
; several at once. Each draws a number, which is its index and its stack.
other_cpu:
	mov	edi, 1
	lock xadd [smp_next_index], edi
	cmp	edi, CPUS_MAX
	jae	.too_many
	imul	eax, edi, STACK_BYTES
	lea	esp, [eax + other_stacks + STACK_BYTES]
	mov	ebx, smp_started
	jmp	enter_long_mode
.too_many:
	hlt
	jmp	.too_many

; EBX: the C function to call, with the arguments EDI and ESI; ESP: its stack.
enter_long_mode:
	mov	ax, SELECTOR_DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, pml4
	mov	cr3, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME | EFER_NXE
	wrmsr
	mov	eax, CR0_BOOT
	mov	cr0, eax
	jmp	SELECTOR_CODE64:.long
bits 64
.long:
	mov	edi, edi		; upper halves are undefined until now
	mov	esi, esi
	mov	ebx, ebx
	mov	esp, esp
	xor	eax, eax
	mov	fs, ax
	mov	gs, ax
	xor	ebp, ebp
	call	rbx
	ud2				; neither function returns

; --- The trampoline, copied to SMP_TRAMPOLINE ------------------------------

section .rodata
bits 16
global smp_trampoline, smp_trampoline_end
smp_trampoline:
	cli
	cld
	xor	ax, ax
	mov	ds, ax
	o32 lgdt [SMP_TRAMPOLINE + (.gdt_pointer - smp_trampoline)]
	mov	eax, cr0
	or	eax, CR0_PE
	mov	cr0, eax
	jmp	dword SELECTOR_CODE32:from_trampoline
.gdt_pointer:
	dw	boot_gdt_end - boot_gdt - 1
	dd	boot_gdt
smp_trampoline_end:

section .text
bits 32
from_trampoline:
	mov	ax, SELECTOR_DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	jmp	other_cpu

section .data
align 8
boot_gdt:
	dq	0
	dq	0x00af9b000000ffff	; SELECTOR_CODE64
	dq	0x00cf93000000ffff	; SELECTOR_DATA
	dq	0x00cf9b000000ffff	; SELECTOR_CODE32
boot_gdt_end:
boot_gdt_pointer:
	dw	boot_gdt_end - boot_gdt - 1
	dd	boot_gdt

global smp_next_index
smp_next_index:
	dd	1			; 0 is the first CPU

section .bss nobits align=4096
pml4:			resb 4096
pdpt:			resb 4096
page_directories:	resb 4 * 4096
first_stack:		resb STACK_BYTES
first_stack_end:
other_stacks:		resb CPUS_MAX * STACK_BYTES	; that of index 0 is unused
