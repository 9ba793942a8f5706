; SPDX-License-Identifier: MIT
;
; A tour through the modes of a CPU, for the guest `modes`: from long mode down
; to real mode and back up.
;
;	64-bit -> 32-bit, no paging -> PAE paging -> 32-bit paging
;	       -> virtual-8086 -> 16-bit protected -> real mode -> 64-bit
;
; At each stop it does what exits or needs the tables of that mode, and writes
; what it saw to mode_results; modes.c knows what must stand there.

%include "guests/lib/layout.inc"
%include "guests/lib/saved.inc"

; Below 1 MiB: real-mode code, its vectors, its stack, and a word to write to.
LOW_CODE	equ 0x7000
LOW_VECTORS	equ 0x6000
LOW_SCRATCH	equ 0x6ff0
LOW_STACK	equ 0x5ff0
%define low(label)	(LOW_CODE + (label) - low_begin)

NO_MEMORY	equ 0xf0000000
UNKNOWN_PORT	equ 0x5a5a
POST_PORT	equ 0x80
ALIAS		equ 0x40000000		; the first pages once more

CR0_PE		equ 1 << 0
CR0_CD		equ 1 << 30
CR0_PG		equ 1 << 31
CR0_WP		equ 1 << 16
CR4_PSE		equ 1 << 4
CR4_PAE		equ 1 << 5
EFER_LME	equ 1 << 8
MSR_EFER	equ 0xc0000080
MSR_GS_BASE	equ 0xc0000101
MSR_APIC_BASE	equ 0x1b
APIC_BASE_X2	equ 1 << 10
MSR_X2APIC_EOI	equ 0x80b
MSR_X2APIC_ICR	equ 0x830
ICR_NMI		equ 4 << 8

RFLAGS_VM	equ 1 << 17
RFLAGS_IOPL_3	equ 3 << 12

T_CODE64	equ 0x08
T_CODE32	equ 0x10
T_DATA32	equ 0x18
T_CODE16	equ 0x20
T_DATA16	equ 0x28
T_TSS32		equ 0x30
T_TSS16		equ 0x38
T_OTHER		equ 0x40
T_GATE		equ 0x48

PAGE_P		equ 1
PAGE_RW		equ 3
PAGE_LARGE	equ 0x83

; result NAME, REGISTER
%macro result 2
	mov	[mode_results + 4 * R_%1], %2
%endmacro

; In the order of enum mode_result (modes.c).
%assign r 0
%macro results 1-*
%rep %0
R_%1	equ r
%assign r r + 1
%rotate 1
%endrep
%endmacro
	results	CPUID32, PORT32, MMIO32, INT32, GP32_VECTOR, GP32_ERROR, \
		PAE_ALIAS, PAE_MMIO, PAE_KEPT, PAE_FAULT_VECTOR, PAE_FAULT_ERROR, \
		PAE_FAULT_CR2, PAE_BAD_VECTOR, PAE_RELOADED, \
		PSE_ALIAS, PSE_MMIO, PSE_FAULT_VECTOR, PSE_FAULT_ERROR, \
		V86_CPUID, V86_END, \
		REAL_INT, REAL_CPUID, REAL_UD, REAL_GP, REAL_MMIO, REAL_OUTS, \
		REAL_NMI, REAL_INTERRUPT, REAL_STACK, STOP, LONG_TSS16, \
		TASK_CALL, TASK_LINK, TASK_BUSY, TASK_TS, TASK_JUMP, TASK_INT, \
		TASK_ERROR, TASK_16, TASK_PAGING, TASK_BAD

section .text
bits 64

; What comes next in 32-bit code may raise an exception; %1 is where it goes on.
%macro expect_fault 1
	mov	dword [resume_at], %1
	mov	dword [fault_vector], 0xffff
%endmacro

global mode_tour
mode_tour:
	push_saved
	pushfq
	cli
	mov	[saved_rsp], rsp
	sgdt	[saved_gdt]
	sidt	[saved_idt]
	mov	rax, cr0
	mov	[saved_cr0], rax
	mov	rax, cr3
	mov	[saved_cr3], rax
	mov	rax, cr4
	mov	[saved_cr4], rax
	mov	ecx, MSR_GS_BASE
	rdmsr
	mov	[saved_gs], eax
	mov	[saved_gs + 4], edx
	mov	rsi, low_begin
	mov	edi, LOW_CODE
	mov	ecx, low_end - low_begin
	rep movsb
	lgdt	[tour_gdt_pointer]
	push	T_CODE32
	push	.compatible
	retfq

bits 32
.compatible:
	mov	eax, cr0
	and	eax, ~CR0_PG
	mov	cr0, eax
	mov	ecx, MSR_EFER
	rdmsr
	and	eax, ~EFER_LME
	wrmsr
	mov	ax, T_DATA32
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	fs, ax
	mov	gs, ax
	mov	esp, tour_stack_end
	call	fill_idt
	lidt	[tour_idt_pointer]

; --- 32-bit protected mode, no paging ---------------------------------------

	xor	eax, eax
	cpuid
	result	CPUID32, ebx
	mov	dx, UNKNOWN_PORT
	in	eax, dx
	result	PORT32, eax
	mov	eax, [NO_MEMORY]
	result	MMIO32, eax
	xor	eax, eax
	int	0x50
	result	INT32, eax
	expect_fault .gp_seen
	mov	eax, 0x7ff8
	mov	es, ax
.gp_seen:
	mov	eax, [fault_vector]
	result	GP32_VECTOR, eax
	mov	eax, [fault_error]
	result	GP32_ERROR, eax

; --- PAE paging: the CPU keeps the four PDPTEs in registers -------------------

	call	fill_pae_tables
	mov	eax, cr4
	or	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, pae_pdpt
	mov	cr3, eax
	mov	eax, cr0
	or	eax, CR0_PG | CR0_WP
	mov	cr0, eax
	mov	dword [LOW_SCRATCH], 0x12345678
	xor	eax, eax
	cpuid				; an exit between
	mov	eax, [ALIAS + LOW_SCRATCH]
	result	PAE_ALIAS, eax
	mov	eax, [NO_MEMORY]
	result	PAE_MMIO, eax
	; Taken out of memory, the entry is still in its register.
	mov	dword [pae_pdpt + 8], 0
	invlpg	[ALIAS + LOW_SCRATCH]
	xor	eax, eax
	cpuid
	expect_fault .kept
	xor	eax, eax
	mov	eax, [ALIAS + LOW_SCRATCH]
.kept:
	result	PAE_KEPT, eax
	mov	eax, cr3
	mov	cr3, eax
	expect_fault .gone
	mov	eax, [ALIAS + LOW_SCRATCH]
.gone:
	mov	eax, [fault_vector]
	result	PAE_FAULT_VECTOR, eax
	mov	eax, [fault_error]
	result	PAE_FAULT_ERROR, eax
	mov	eax, cr2
	result	PAE_FAULT_CR2, eax
	; Reserved bits are found by the load.
	mov	dword [pae_pdpt + 8], pae_directory + PAGE_P + 2
	expect_fault .bad
	mov	eax, cr3
	mov	cr3, eax
.bad:
	mov	eax, [fault_vector]
	result	PAE_BAD_VECTOR, eax
	; So does a change of CD load them.
	mov	dword [pae_pdpt + 8], pae_directory + PAGE_P
	mov	eax, cr0
	mov	edx, eax
	or	eax, CR0_CD
	mov	cr0, eax
	mov	cr0, edx
	xor	eax, eax
	expect_fault .reloaded
	mov	eax, [ALIAS + LOW_SCRATCH]
.reloaded:
	result	PAE_RELOADED, eax

; --- 32-bit paging with pages of 4 MiB ------------------------------------------

	mov	eax, cr0
	and	eax, ~CR0_PG
	mov	cr0, eax
	call	fill_directory
	mov	eax, cr4
	and	eax, ~CR4_PAE
	or	eax, CR4_PSE
	mov	cr4, eax
	mov	eax, directory
	mov	cr3, eax
	mov	eax, cr0
	or	eax, CR0_PG
	mov	cr0, eax
	xor	eax, eax
	cpuid
	mov	eax, [ALIAS + LOW_SCRATCH]
	result	PSE_ALIAS, eax
	mov	eax, [NO_MEMORY]
	result	PSE_MMIO, eax
	expect_fault .read_only
	mov	[ALIAS + LOW_SCRATCH], eax
.read_only:
	mov	eax, [fault_vector]
	result	PSE_FAULT_VECTOR, eax
	mov	eax, [fault_error]
	result	PSE_FAULT_ERROR, eax
	mov	eax, cr0
	and	eax, ~CR0_PG
	mov	cr0, eax

; --- Virtual-8086 mode, which HLT leaves by #GP -----------------------------------

	mov	eax, tour_tss
	mov	[tour_gdt + T_TSS32 + 2], ax
	shr	eax, 16
	mov	[tour_gdt + T_TSS32 + 4], al
	mov	[tour_gdt + T_TSS32 + 7], ah
	mov	dword [tour_tss + 4], tour_stack_end
	mov	dword [tour_tss + 8], T_DATA32
	mov	word [tour_tss + 102], 104
	mov	byte [tour_gdt + T_TSS32 + 5], 0x89
	mov	ax, T_TSS32
	ltr	ax

; Task switches: there by CALL, JMP and gates, back by IRET and JMP.
	mov	edi, other_tss
	mov	ecx, 104 / 4
	xor	eax, eax
	rep stosd
	mov	eax, other_tss
	mov	[tour_gdt + T_OTHER + 2], ax
	shr	eax, 16
	mov	[tour_gdt + T_OTHER + 4], al
	mov	[tour_gdt + T_OTHER + 7], ah
	mov	byte [tour_gdt + T_OTHER + 5], 0x89
	mov	dword [tour_gdt + T_GATE], T_OTHER << 16
	mov	dword [tour_gdt + T_GATE + 4], 0x8500
	; By CALL, and back by IRET: registers come and go.
	mov	dword [other_tss + 0x20], task_adds
	call	reset_other
	mov	ebx, 5
	call	T_OTHER:0
	result	TASK_CALL, ebx
	mov	eax, [task_sum]
	result	TASK_LINK, eax
	mov	al, [tour_gdt + T_OTHER + 5]
	mov	ah, [tour_gdt + T_TSS32 + 5]
	movzx	eax, ax
	result	TASK_BUSY, eax
	mov	eax, cr0
	and	eax, 8			; TS
	result	TASK_TS, eax
	clts
	; By JMP through a gate, and back by JMP.
	mov	dword [other_tss + 0x20], task_jumps_back
	call	reset_other
	jmp	T_GATE:0
	mov	eax, [task_sum]
	result	TASK_JUMP, eax
	; By an interrupt's gate; IRET goes behind the INT.
	mov	dword [other_tss + 0x20], task_adds
	call	reset_other
	mov	dword [tour_idt + 8 * 0x52], T_OTHER << 16
	mov	dword [tour_idt + 8 * 0x52 + 4], 0x8500
	xor	ebx, ebx
	int	0x52
	mov	eax, [task_sum]
	result	TASK_INT, eax
	; By a fault: its error code is on the new task's stack.
	push	dword [tour_idt + 8 * 13]
	push	dword [tour_idt + 8 * 13 + 4]
	mov	dword [other_tss + 0x20], task_takes_error
	call	reset_other
	mov	dword [tour_idt + 8 * 13], T_OTHER << 16
	mov	dword [tour_idt + 8 * 13 + 4], 0x8500
	mov	dword [resume_at], .task_over
	mov	eax, 0x7ff8
	mov	es, ax
.task_over:
	pop	dword [tour_idt + 8 * 13 + 4]
	pop	dword [tour_idt + 8 * 13]
	mov	eax, [fault_error]
	result	TASK_ERROR, eax
	; A 16-bit one, and back.
	call	reset_other
	mov	byte [tour_gdt + T_OTHER + 5], 0x81
	mov	word [other_tss + 0x0e], low(task16)
	mov	word [other_tss + 0x10], 2
	mov	word [other_tss + 0x18], 7		; BX
	mov	word [other_tss + 0x1a], LOW_STACK
	mov	word [other_tss + 0x22], T_DATA32
	mov	word [other_tss + 0x24], T_CODE16
	mov	word [other_tss + 0x26], T_DATA16
	mov	word [other_tss + 0x28], T_DATA32
	mov	word [other_tss + 0x2a], 0
	mov	ebx, 5
	call	T_OTHER:0
	mov	eax, [task_sum]
	result	TASK_16, eax
	; With paging: the new task has tables of its own.
	mov	edi, other_tss
	mov	ecx, 104 / 4
	xor	eax, eax
	rep stosd
	mov	byte [tour_gdt + T_OTHER + 5], 0x89
	mov	dword [other_tss + 0x20], task_adds_alias
	mov	dword [other_tss + 0x1c], directory
	mov	eax, cr4
	or	eax, CR4_PSE
	mov	cr4, eax
	mov	eax, directory
	mov	cr3, eax
	mov	[tour_tss + 0x1c], eax
	mov	eax, cr0
	or	eax, CR0_PG
	mov	cr0, eax
	call	reset_other
	mov	ebx, 0
	call	T_OTHER:0
	mov	eax, cr0
	and	eax, ~(CR0_PG | 8)
	mov	cr0, eax
	mov	eax, [task_sum]
	result	TASK_PAGING, eax
	; Its DS is no segment: the exception is the new task's.
	call	reset_other
	mov	dword [other_tss + 0x54], T_TSS16
	mov	dword [other_tss + 0x20], task_adds
	mov	[task_esp], esp
	expect_fault .bad_task
	call	T_OTHER:0
.bad_task:
	mov	ax, T_DATA32
	mov	ds, ax
	mov	ss, ax
	mov	esp, [task_esp]
	clts
	mov	eax, [fault_vector]
	shl	eax, 16
	mov	ax, [fault_error]
	result	TASK_BAD, eax
	; Back into the first one without a switch.
	mov	byte [tour_gdt + T_TSS32 + 5], 0x89
	mov	ax, T_TSS32
	ltr	ax
	pushfd
	and	dword [esp], ~(1 << 14)		; NT
	popfd
	mov	ax, T_DATA32
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	gs, ax

	mov	[esp_before_v86], esp
	expect_fault v86_left
	push	0			; GS, FS
	push	0
	push	LOW_SCRATCH >> 4	; DS, ES
	push	LOW_SCRATCH >> 4
	push	0			; SS:SP
	push	LOW_STACK
	push	RFLAGS_VM | RFLAGS_IOPL_3 | 2
	push	LOW_CODE >> 4
	push	v86_code - low_begin
	iretd
v86_left:
	mov	esp, [ss:esp_before_v86]	; DS is empty
	mov	ax, T_DATA32
	mov	ds, ax
	mov	es, ax
	mov	fs, ax
	mov	gs, ax
	mov	eax, [LOW_SCRATCH]
	result	V86_CPUID, eax
	mov	eax, [fault_vector]
	result	V86_END, eax

; --- 16-bit protected mode, then real mode -------------------------------------------

	mov	edi, LOW_VECTORS
	mov	ecx, 256
	mov	eax, (LOW_CODE >> 4) << 16
	mov	ax, real_unexpected - low_begin
	rep stosd
	mov	word [LOW_VECTORS + 4 * 2], real_nmi - low_begin
	mov	word [LOW_VECTORS + 4 * 6], real_ud - low_begin
	mov	word [LOW_VECTORS + 4 * 13], real_gp - low_begin
	mov	word [LOW_VECTORS + 4 * 0x50], real_int - low_begin
	mov	word [LOW_VECTORS + 4 * 0x51], real_interrupt - low_begin
	jmp	T_CODE16:low(to_real)

; Results of real mode come in registers: EBX and the rest of low_results.
from_real:
	mov	ax, T_DATA32
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	esp, tour_stack_end
	mov	esi, low(low_results)
	mov	edi, mode_results + 4 * R_REAL_INT
	mov	ecx, R_STOP - R_REAL_INT
	rep movsd
	result	STOP, dword 1
	lidt	[tour_idt_pointer]
	; A 16-bit task keeps the CPU out of long mode.
	mov	byte [tour_gdt + T_TSS16 + 5], 0x81
	mov	ax, T_TSS16
	ltr	ax
	mov	eax, [saved_cr4]
	mov	cr4, eax
	mov	eax, [saved_cr3]
	mov	cr3, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME
	wrmsr
	expect_fault .not_yet
	mov	eax, [saved_cr0]
	or	eax, CR0_CD		; which exits
	mov	cr0, eax
.not_yet:
	mov	eax, [fault_vector]
	result	LONG_TSS16, eax
	mov	byte [tour_gdt + T_TSS32 + 5], 0x89
	mov	ax, T_TSS32
	ltr	ax
	mov	eax, [saved_cr0]
	mov	cr0, eax
	jmp	T_CODE64:.long
bits 64
.long:
	lgdt	[saved_gdt]
	lidt	[saved_idt]
	mov	rsp, [saved_rsp]
	push	SELECTOR_CODE64
	push	.home
	retfq
.home:
	mov	ax, SELECTOR_DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	xor	eax, eax
	mov	fs, ax
	mov	gs, ax
	mov	ecx, MSR_GS_BASE
	mov	eax, [saved_gs]
	mov	edx, [saved_gs + 4]
	wrmsr
	; LTR wants the task not busy.
	mov	rax, [saved_gdt + 2]
	and	byte [rax + SELECTOR_TSS64 + 5], ~2
	mov	ax, SELECTOR_TSS64
	ltr	ax
	popfq
	pop_saved
	ret

bits 32

; --- Helpers of the 32-bit part -----------------------------------------------------

fill_idt:
	mov	edi, tour_idt
	mov	ecx, 0x60
.entry:
	mov	eax, on_unexpected
	call	.set
	loop	.entry
	mov	edi, tour_idt + 8 * 10
	mov	eax, on_ts
	call	.set
	mov	edi, tour_idt + 8 * 13
	mov	eax, on_gp
	call	.set
	mov	eax, on_pf
	call	.set
	mov	edi, tour_idt + 8 * 0x50
	mov	eax, on_int
.set:
	mov	[edi], ax
	mov	word [edi + 2], T_CODE32
	shr	eax, 16
	mov	word [edi + 4], 0x8e00
	mov	[edi + 6], ax
	add	edi, 8
	ret

; What the other task begins with.
reset_other:
	mov	dword [other_tss + 0x24], 2
	mov	dword [other_tss + 0x34], 7	; EBX
	mov	dword [other_tss + 0x38], other_stack_end
	mov	dword [other_tss + 0x48], T_DATA32
	mov	dword [other_tss + 0x4c], T_CODE32
	mov	dword [other_tss + 0x50], T_DATA32
	mov	dword [other_tss + 0x54], T_DATA32
	mov	dword [other_tss + 0x58], T_DATA32
	mov	dword [other_tss + 0x5c], T_DATA32
	mov	dword [task_sum], 0
	ret

task_adds:
	inc	ebx
	mov	[task_sum], ebx
	iretd

task_jumps_back:
	mov	dword [task_sum], 0x11
	jmp	T_TSS32:0

task_takes_error:
	pop	dword [fault_error]
	mov	eax, [resume_at]
	mov	[tour_tss + 0x20], eax
	iretd

task_adds_alias:
	mov	eax, [ALIAS + LOW_SCRATCH]
	mov	[task_sum], eax
	iretd

on_ts:
	push	eax			; DS is what was wrong
	mov	ax, T_DATA32
	mov	ds, ax
	pop	eax
	mov	dword [ss:fault_vector], 10
	jmp	on_fault
on_gp:
	mov	dword [ss:fault_vector], 13
	jmp	on_fault
on_pf:
	mov	dword [ss:fault_vector], 14
on_fault:
	pop	dword [ss:fault_error]
	test	dword [esp + 8], RFLAGS_VM
	jnz	v86_left
	push	eax
	mov	eax, [resume_at]
	mov	[esp + 4], eax
	pop	eax
	iretd
on_int:
	mov	eax, 0x50
	iretd
on_unexpected:
	hlt
	jmp	on_unexpected

; The first GiB as it is, the first pages at ALIAS, devices as they are.
fill_pae_tables:
	mov	dword [pae_pdpt], pae_first + PAGE_P
	mov	dword [pae_pdpt + 8], pae_directory + PAGE_P
	mov	dword [pae_pdpt + 24], pae_last + PAGE_P
	xor	ecx, ecx
.page:
	mov	eax, ecx
	shl	eax, 21
	or	eax, PAGE_LARGE
	mov	[pae_first + 8 * ecx], eax
	inc	ecx
	cmp	ecx, 512
	jne	.page
	mov	dword [pae_directory], PAGE_LARGE
	mov	dword [pae_last + 8 * ((NO_MEMORY - 0xc0000000) >> 21)], \
		NO_MEMORY + PAGE_LARGE
	ret

fill_directory:
	xor	ecx, ecx
.page:
	mov	eax, ecx
	shl	eax, 22
	or	eax, PAGE_LARGE
	mov	[directory + 4 * ecx], eax
	inc	ecx
	cmp	ecx, 256
	jne	.page
	mov	dword [directory + 4 * (ALIAS >> 22)], PAGE_LARGE - 2
	mov	dword [directory + 4 * (NO_MEMORY >> 22)], \
		NO_MEMORY + PAGE_LARGE
	ret

; --- Copied below 1 MiB ------------------------------------------------------------------

section .rodata
bits 16
low_begin:
task16:
	mov	dword [dword task_sum], 0x16
	iret

v86_code:
	xor	eax, eax
	cpuid
	mov	[0], ebx
	hlt

; 16-bit protected mode; FS keeps its limit of 4 GiB.
to_real:
	mov	ax, T_DATA16
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	sp, LOW_STACK
	mov	eax, cr0
	and	eax, ~CR0_PE
	mov	cr0, eax
	jmp	(LOW_CODE >> 4):(.real - low_begin)
.real:
	mov	ax, LOW_CODE >> 4
	mov	ds, ax
	mov	es, ax
	xor	ax, ax
	mov	ss, ax
	mov	sp, LOW_STACK
	o32 lidt [real_idt_pointer - low_begin]
	int	0x50
	mov	[low_results - low_begin], ebx
	xor	eax, eax
	cpuid
	mov	[low_results - low_begin + 4], ebx
	xor	ebx, ebx
	ud2
	mov	[low_results - low_begin + 8], ebx
	xor	ebx, ebx
	mov	eax, [0xffff]		; three bytes: beyond the limit
	mov	[low_results - low_begin + 12], ebx
	mov	edx, NO_MEMORY
	mov	eax, [fs:edx]
	mov	[low_results - low_begin + 16], eax
	xor	si, si
	mov	dx, POST_PORT
	mov	cx, 5
	rep outsb
	movzx	eax, si
	mov	[low_results - low_begin + 20], eax
	; An NMI and an interrupt to ourselves.
	mov	ecx, MSR_APIC_BASE
	rdmsr
	test	ax, APIC_BASE_X2
	jz	.no_apic
	xor	ebx, ebx
	mov	ecx, MSR_X2APIC_ICR
	mov	eax, ICR_NMI
	xor	edx, edx
	wrmsr
	mov	cx, 100
.nmi:	loop	.nmi
	mov	[low_results - low_begin + 24], ebx
	xor	ebx, ebx
	mov	ecx, MSR_X2APIC_ICR
	mov	eax, 0x51
	xor	edx, edx
	wrmsr
	mov	cx, 100
	sti
.wait:	loop	.wait
	cli
	mov	[low_results - low_begin + 28], ebx
.no_apic:
	movzx	eax, sp
	mov	[low_results - low_begin + 32], eax
	mov	eax, cr0
	or	eax, CR0_PE
	mov	cr0, eax
	jmp	dword T_CODE32:from_real

real_int:
	mov	ebx, 0x50
	iret
real_ud:
	mov	ebx, 6
	jmp	real_skip_two
real_gp:
	mov	ebx, 13
	mov	bp, sp
	add	word [bp], 4		; the length of that MOV
	iret
real_skip_two:
	mov	bp, sp
	add	word [bp], 2
	iret
real_nmi:
	mov	ebx, 2
	iret
real_interrupt:
	push	eax
	push	ecx
	push	edx
	mov	ecx, MSR_X2APIC_EOI
	xor	eax, eax
	xor	edx, edx
	wrmsr
	pop	edx
	pop	ecx
	pop	eax
	mov	ebx, 0x51
	iret
real_unexpected:
	hlt
	jmp	real_unexpected
real_idt_pointer:
	dw	0x3ff
	dd	LOW_VECTORS
	align 4
low_results:
	times 9 dd 0xdead
low_end:

section .data
align 8
tour_gdt:
	dq	0
	dq	0x00af9b000000ffff	; T_CODE64
	dq	0x00cf9b000000ffff	; T_CODE32
	dq	0x00cf93000000ffff	; T_DATA32
	dq	0x00009b000000ffff	; T_CODE16
	dq	0x000093000000ffff	; T_DATA16
	dq	0x0000890000000067	; T_TSS32
	dq	0x000081000000002b	; T_TSS16
	dq	0x0000890000000067	; T_OTHER
	dq	0			; T_GATE
tour_gdt_end:
tour_gdt_pointer:
	dw	tour_gdt_end - tour_gdt - 1
	dq	tour_gdt
tour_idt_pointer:
	dw	0x60 * 8 - 1
	dd	tour_idt
saved_gdt:	dw 0
		dq 0
saved_idt:	dw 0
		dq 0

section .bss nobits align=4096
pae_first:	resb 4096
pae_directory:	resb 4096
pae_last:	resb 4096
directory:	resb 4096
pae_pdpt:	resb 32
tour_idt:	resb 0x60 * 8
tour_tss:	resb 104
		resb 4096
tour_stack_end:
other_tss:	resb 104
		resb 512
other_stack_end:
task_sum:	resd 1
task_esp:	resd 1
saved_rsp:	resq 1
saved_cr0:	resq 1
saved_cr3:	resq 1
saved_cr4:	resq 1
saved_gs:	resq 1
resume_at:	resd 1
fault_vector:	resd 1
fault_error:	resd 1
esp_before_v86:	resd 1
global mode_results
mode_results:	resd R_TASK_BAD + 1
