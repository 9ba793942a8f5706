; SPDX-License-Identifier: MIT
;
; Instructions that the guest `events` walks through with its debugger's hat on:
; C cannot say where one instruction ends and the next begins.
;
; A table behind each piece of code lists where the next #DB must find it, in
; order, and ends with 0; the last one switches TF off.

%include "guests/lib/layout.inc"

RFLAGS_TF	equ 1 << 8
RFLAGS_IF	equ 1 << 9
MSR_APIC_BASE	equ 0x1b
MSR_X2APIC_ICR	equ 0x830
NO_MEMORY	equ 0xf0000000
POST_PORT	equ 0x80

%macro set_flags 1
	pushfq
	or	qword [rsp], %1
	popfq
%endmacro

section .text
bits 64

; Each of these instructions but NOP is one that Umbra carries out itself.
global walk_step, walk_step_stops
walk_step:
	push	rbx
	push	rsi
	push	rdi
	mov	r10, NO_MEMORY
	lea	rdi, [scratch]
	lea	rsi, [scratch]
	mov	r11d, 3
	set_flags RFLAGS_TF
	xor	eax, eax
.cpuid:	cpuid
.nop:	nop
.in:	in	al, POST_PORT
.out:	out	POST_PORT, al
.load:	mov	eax, [r10]
.store:	mov	[r10], eax
.msr:	mov	ecx, MSR_APIC_BASE
.rdmsr:	rdmsr
.count:	mov	ecx, r11d
.dx:	mov	edx, POST_PORT
.outs:	rep outsb
.count2: mov	ecx, r11d
.from:	mov	rsi, r10
.movs:	rep movsb
.cr8:	mov	rax, cr8
.end:	pop	rdi
	pop	rsi
	pop	rbx
	ret

; The trap behind HLT ends it: SDM volume 2, "HLT-Halt".
global walk_halt, walk_halt_stops
walk_halt:
	set_flags RFLAGS_TF
	hlt
.end:	ret

; The interrupt is there at the same moment as the trap: the trap comes first.
; ECX, EAX, EDX: what sends it. walk_trap_first_stops is for both.
global walk_trap_first, walk_trap_first_stops
walk_trap_first:
	mov	ecx, edi
	mov	eax, esi
	xor	edx, edx
	set_flags RFLAGS_TF | RFLAGS_IF
	wrmsr
.sent:	nop
.end:	cli
	ret

; DR0 watches the word from which SS is loaded: the trap waits for the
; instruction behind it, which exits.
global walk_stack_load, walk_stack_load_stops, stack_selector
walk_stack_load:
	push	rbx
	xor	eax, eax
	mov	ss, [stack_selector]
	cpuid
.end:	nop
	pop	rbx
	ret

; The same with TF: one trap less than there are instructions.
global walk_stack_step, walk_stack_step_stops
walk_stack_step:
	push	rbx
	xor	eax, eax
	mov	edx, SELECTOR_DATA
	set_flags RFLAGS_TF
	mov	ss, edx
	cpuid
.end:	pop	rbx
	ret

; Breakpoints on both instructions; the first is resumed by RF, which must not
; be there any more when the second begins.
global walk_breakpoints, walk_breakpoints_stops
walk_breakpoints:
	push	rbx
	xor	eax, eax
.first:	cpuid
.second: nop
	pop	rbx
	ret

; DR0 watches the port, DR1 four bytes where there is no memory: a trap behind
; each instruction, or iteration, that meets one of them, and no other.
global walk_watched, walk_watched_stops
walk_watched:
	mov	r10, NO_MEMORY
	lea	rsi, [scratch]
	mov	edx, POST_PORT
	mov	ecx, 2
	in	al, POST_PORT
.in:	out	POST_PORT + 1, al
.outs:	rep outsb
.load:	mov	eax, [r10 + 4]
	mov	eax, [r10 + 3]
.store:	mov	[r10 - 1], al
	mov	[r10], al
.end:	ret

global walk_icebp, walk_icebp_stops
walk_icebp:
	db	0xf1
.end:	ret

; What an interrupt finds that waits while interrupts are off.
global shadow_sti_nop, shadow_sti_nop_after
shadow_sti_nop:
	sti
	nop
shadow_sti_nop_after:
	nop
	cli
	ret

global shadow_sti_exit, shadow_sti_exit_after
shadow_sti_exit:
	push	rbx
	xor	eax, eax
	sti
	cpuid
shadow_sti_exit_after:
	cli
	pop	rbx
	ret

global shadow_ss_exit, shadow_ss_exit_after
shadow_ss_exit:
	push	rbx
	xor	eax, eax
	mov	edx, SELECTOR_DATA
	sti
	mov	ss, edx
	cpuid
shadow_ss_exit_after:
	cli
	pop	rbx
	ret

; Events of every kind, with where each returns to.
global raise_software, raise_software_after
raise_software:
	int	0x50
raise_software_after:
	ret
global raise_breakpoint, raise_breakpoint_after
raise_breakpoint:
	int3
raise_breakpoint_after:
	ret

; --- Vector registers -------------------------------------------------------

; RDI: 16 or 32 registers of 32 or 64 bytes each.
global ymm_load, ymm_store, zmm_load, zmm_store
%macro all_ymm 1
%assign i 0
%rep 16
%ifidn %1, load
	vmovdqu	ymm%+i, [rdi + 32 * i]
%else
	vmovdqu	[rdi + 32 * i], ymm%+i
%endif
%assign i i + 1
%endrep
	ret
%endmacro
%macro all_zmm 1
%assign i 0
%rep 32
%ifidn %1, load
	vmovdqu64 zmm%+i, [rdi + 64 * i]
%else
	vmovdqu64 [rdi + 64 * i], zmm%+i
%endif
%assign i i + 1
%endrep
%assign i 1
%rep 7
%ifidn %1, load
	kmovw	k%+i, [rdi + 64 * i]
%else
	kmovw	[rdi + 64 * 32 + 2 * i], k%+i
%endif
%assign i i + 1
%endrep
	ret
%endmacro
ymm_load:	all_ymm load
ymm_store:	all_ymm store
zmm_load:	all_zmm load
zmm_store:	all_zmm store

section .data
align 8
scratch:	dq	0, 0
stack_selector:	dw	SELECTOR_DATA

section .rodata
align 8
walk_step_stops:
	dq	walk_step.cpuid, walk_step.nop, walk_step.in, walk_step.out
	dq	walk_step.load, walk_step.store, walk_step.msr
	dq	walk_step.rdmsr, walk_step.count, walk_step.dx, walk_step.outs
	dq	walk_step.outs, walk_step.outs, walk_step.count2
	dq	walk_step.from, walk_step.movs
	dq	walk_step.movs, walk_step.movs, walk_step.cr8
	dq	walk_step.end, 0
walk_halt_stops:
	dq	walk_halt.end, 0
walk_trap_first_stops:
	dq	walk_trap_first.sent, walk_trap_first.end, 0
walk_stack_load_stops:
	dq	walk_stack_load.end, 0
walk_stack_step_stops:
	dq	walk_stack_step.end, 0
walk_breakpoints_stops:
	dq	walk_breakpoints.first, walk_breakpoints.second, 0
walk_watched_stops:
	dq	walk_watched.in, walk_watched.outs, walk_watched.load
	dq	walk_watched.store, walk_watched.end, 0
walk_icebp_stops:
	dq	walk_icebp.end, 0
