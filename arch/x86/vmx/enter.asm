; SPDX-License-Identifier: MIT
; Entering the guest and coming back, as one function that is called and
; returns:
;
;	in	RDI	struct vcpu_registers *
;	out	EAX	enum vmx_outcome
;	kept	RSP, RBP, RBX; every other register is lost
;
; VM entry loads RIP, RSP, RFLAGS, segments and control registers from the
; VMCS; the other general registers are ours to switch. The VM exit continues
; at vmx_exit_point with the stack as it was at the entry, so that after saving
; the guest's registers a plain `ret` goes back to C. C is told what it loses
; (enter() in vcpu.c) and keeps nothing there: that costs less than saving it.
;
; The first entry after VMCLEAR must be VMLAUNCH, all others VMRESUME. Since
; they are many, VMRESUME is what is tried; it fails, with the guest's registers
; as they were, when VMLAUNCH is due.
;
; What speculative execution asks for (mitigation.h) costs nothing where there is
; none of it: exits that have work lead to vmx_exit_point_guarded, which also
; forgets the stack, so that the next entry does not find it where it was, and
; looks whether it has work, too. Umbra itself makes no call or return between a
; guarded exit and its end.
;
; Returns VMX_SUCCEED after a VM exit. If the entry instruction itself fails,
; the guest has not run and struct vcpu_registers is as before.


VMCS_HOST_RSP	equ 0x6c14

; struct vcpu_registers; asserted in vcpu.c
%define gpr(n)	rdi + 8 * n
%define RAX_	0
%define RCX_	1
%define RDX_	2
%define RBX_	3
%define RBP_	5
%define RSI_	6
%define RDI_	7
HOST_RSP_OFFSET	equ 8 * 16
LAUNCHED_OFFSET	equ 8 * 17
ENTRY_WORK	equ 8 * 18		; struct vcpu_registers, mitigate.c
EXIT_WORK	equ 8 * 18 + 4
GUEST_SPEC_CTRL	equ 8 * 19
HOST_SPEC_CTRL	equ 8 * 20

ENTRY_SPEC_CTRL	equ 1 << 0		; mitigation.h
ENTRY_FLUSH_L1D	equ 1 << 1
ENTRY_VERW	equ 1 << 2
EXIT_FILL_RSB	equ 1 << 0
EXIT_GUARD_RETURN equ 1 << 1
EXIT_READ_SPEC_CTRL equ 1 << 2
EXIT_WRITE_SPEC_CTRL equ 1 << 3
EXIT_CLEAR_HISTORY equ 1 << 4

MSR_SPEC_CTRL	equ 0x48
MSR_FLUSH_CMD	equ 0x10b
RSB_ENTRIES	equ 32
HISTORY_BRANCHES equ 32			; before BHI_CTRL a history held 29

section .text
global vmx_enter, vmx_exit_point, vmx_exit_point_guarded
	align 16
vmx_enter:
	push	rbp
	push	rbx
	push	rdi

	; The stack is nearly always where it was at the last entry.
	cmp	rsp, [rdi + HOST_RSP_OFFSET]
	jne	.with_work
.ready:
	mov	rax, [gpr(RAX_)]
	mov	rcx, [gpr(RCX_)]
	mov	rdx, [gpr(RDX_)]
	mov	rbx, [gpr(RBX_)]
	mov	rbp, [gpr(RBP_)]
	mov	rsi, [gpr(RSI_)]
	mov	r8, [gpr(8)]
	mov	r9, [gpr(9)]
	mov	r10, [gpr(10)]
	mov	r11, [gpr(11)]
	mov	r12, [gpr(12)]
	mov	r13, [gpr(13)]
	mov	r14, [gpr(14)]
	mov	r15, [gpr(15)]
	mov	rdi, [gpr(RDI_)]
	vmresume

	; SDM vol. 3, "Conventions": CF is VMfailInvalid, ZF is VMfailValid.
	jc	.fail_invalid
	mov	rdi, [rsp]
	cmp	qword [rdi + LAUNCHED_OFFSET], 0
	jne	.fail_valid
	mov	qword [rdi + LAUNCHED_OFFSET], 1
	mov	rdi, [gpr(RDI_)]
	vmlaunch
	jc	.fail_invalid
.fail_valid:
	mov	eax, 2
	jmp	vmx_enter_return
.fail_invalid:
	mov	eax, 1
	jmp	vmx_enter_return

	; The buffers are cleared last: only the guest's registers come after.
.with_work:
	mov	[rdi + HOST_RSP_OFFSET], rsp
	mov	eax, VMCS_HOST_RSP
	vmwrite	rax, rsp
	mov	esi, [rdi + ENTRY_WORK]
	test	esi, esi
	jz	.ready
	test	esi, ENTRY_SPEC_CTRL
	jz	.no_spec_ctrl
	mov	ecx, MSR_SPEC_CTRL
	mov	eax, [rdi + GUEST_SPEC_CTRL]
	mov	edx, [rdi + GUEST_SPEC_CTRL + 4]
	wrmsr
.no_spec_ctrl:
	test	esi, ENTRY_FLUSH_L1D
	jz	.no_flush
	mov	ecx, MSR_FLUSH_CMD
	mov	eax, 1			; FLUSH_CMD_L1D
	xor	edx, edx
	wrmsr
.no_flush:
	test	esi, ENTRY_VERW
	jz	.ready
	verw	[data_selector]
	jmp	.ready

%macro save_guest_registers 0
	push	rdi
	mov	rdi, [rsp + 8]
	pop	qword [gpr(RDI_)]
	mov	[gpr(RAX_)], rax
	mov	[gpr(RCX_)], rcx
	mov	[gpr(RDX_)], rdx
	mov	[gpr(RBX_)], rbx
	mov	[gpr(RBP_)], rbp
	mov	[gpr(RSI_)], rsi
	mov	[gpr(8)], r8
	mov	[gpr(9)], r9
	mov	[gpr(10)], r10
	mov	[gpr(11)], r11
	mov	[gpr(12)], r12
	mov	[gpr(13)], r13
	mov	[gpr(14)], r14
	mov	[gpr(15)], r15
%endmacro

	align 16
vmx_exit_point_guarded:
	save_guest_registers
	mov	esi, [rdi + EXIT_WORK]
	test	esi, EXIT_FILL_RSB
	jz	.no_fill
	; Each call leaves an entry that leads into a trap.
	mov	ecx, RSB_ENTRIES
.fill:
	call	.filled
.trap:
	pause
	lfence
	jmp	.trap
.filled:
	dec	ecx
	jnz	.fill
	add	rsp, 8 * RSB_ENTRIES
.no_fill:
	test	esi, EXIT_GUARD_RETURN
	jz	.no_guard
	call	.guarded
	int3
.guarded:
	add	rsp, 8
.no_guard:
	test	esi, EXIT_WRITE_SPEC_CTRL
	jz	.no_spec_ctrl
	mov	ecx, MSR_SPEC_CTRL
	test	esi, EXIT_READ_SPEC_CTRL
	jz	.write
	rdmsr
	mov	[rdi + GUEST_SPEC_CTRL], eax
	mov	[rdi + GUEST_SPEC_CTRL + 4], edx
.write:
	mov	eax, [rdi + HOST_SPEC_CTRL]
	mov	edx, [rdi + HOST_SPEC_CTRL + 4]
	wrmsr
.no_spec_ctrl:
	test	esi, EXIT_CLEAR_HISTORY
	jz	.no_history
	mov	ecx, HISTORY_BRANCHES
.history:
	dec	ecx
	jnz	.history
.no_history:
	lfence				; none of this is passed over
	mov	qword [rdi + HOST_RSP_OFFSET], 0
	jmp	vmx_exit_point.saved

	align 16
vmx_exit_point:
	save_guest_registers
.saved:
	; Values of the guest's choice must not steer what we speculate.
	xor	eax, eax
	xor	ecx, ecx
	xor	edx, edx
	xor	esi, esi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
	xor	r12d, r12d
	xor	r13d, r13d
	xor	r14d, r14d
	xor	r15d, r15d
vmx_enter_return:
	pop	rdi
	pop	rbx
	pop	rbp
	ret

section .rodata
data_selector:	dw 0x10			; SELECTOR_DATA, which is writable
