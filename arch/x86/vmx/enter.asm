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

section .text
global vmx_enter, vmx_exit_point
	align 16
vmx_enter:
	push	rbp
	push	rbx
	push	rdi

	; The stack is nearly always where it was at the last entry.
	cmp	rsp, [rdi + HOST_RSP_OFFSET]
	je	.stack_known
	mov	[rdi + HOST_RSP_OFFSET], rsp
	mov	eax, VMCS_HOST_RSP
	vmwrite	rax, rsp
.stack_known:
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

	align 16
vmx_exit_point:
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
