; SPDX-License-Identifier: MIT
; Entering the guest and coming back, as one function that is called and
; returns:
;
;	enum vmx_outcome vmx_enter(struct vcpu_registers *registers,
;				   u64 launched);
;
; VM entry loads RIP, RSP, RFLAGS, segments and control registers from the
; VMCS; the other general registers and CR2 are ours to switch. The VM exit
; continues at vmx_exit_point with the stack as it was at the entry, so that
; after saving the guest's registers a plain `ret` goes back to C.
;
; Returns VMX_SUCCEED after a VM exit. If the entry instruction itself fails,
; the guest has not run and the registers are as before.


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
CR2_OFFSET	equ 8 * 16
HOST_RSP_OFFSET	equ 8 * 17

section .text
global vmx_enter, vmx_exit_point
	align 16
vmx_enter:
	push	rbp
	push	rbx
	push	r12
	push	r13
	push	r14
	push	r15
	push	rdi

	; The stack is nearly always where it was at the last entry.
	cmp	rsp, [rdi + HOST_RSP_OFFSET]
	je	.stack_known
	mov	[rdi + HOST_RSP_OFFSET], rsp
	mov	eax, VMCS_HOST_RSP
	vmwrite	rax, rsp
.stack_known:
	; Writing CR2 is slow on real CPUs, comparing is not.
	mov	rax, [rdi + CR2_OFFSET]
	mov	rcx, cr2
	cmp	rax, rcx
	je	.cr2_known
	mov	cr2, rax
.cr2_known:
	test	rsi, rsi		; MOV below leaves the flags alone
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
	jz	.launch
	vmresume
	jmp	.failed
.launch:
	vmlaunch
.failed:
	; SDM vol. 3, "Conventions": CF is VMfailInvalid (1), ZF is
	; VMfailValid (2).
	mov	eax, 1
	jc	vmx_enter_return
	mov	eax, 2
	jmp	vmx_enter_return

	align 16
vmx_exit_point:
	push	rdi
	mov	rdi, [rsp + 8]
	mov	[gpr(RAX_)], rax
	pop	rax			; the guest's RDI
	mov	[gpr(RCX_)], rcx
	mov	[gpr(RDX_)], rdx
	mov	[gpr(RBX_)], rbx
	mov	[gpr(RBP_)], rbp
	mov	[gpr(RSI_)], rsi
	mov	[gpr(RDI_)], rax
	mov	[gpr(8)], r8
	mov	[gpr(9)], r9
	mov	[gpr(10)], r10
	mov	[gpr(11)], r11
	mov	[gpr(12)], r12
	mov	[gpr(13)], r13
	mov	[gpr(14)], r14
	mov	[gpr(15)], r15
	mov	rax, cr2
	mov	[rdi + CR2_OFFSET], rax
	; Values of the guest's choice must not steer what we speculate.
	xor	eax, eax
	xor	ecx, ecx
	xor	edx, edx
	xor	esi, esi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
vmx_enter_return:

	pop	rdi
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbx
	pop	rbp
	ret
