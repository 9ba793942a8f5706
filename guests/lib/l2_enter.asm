; SPDX-License-Identifier: MIT
; Entering L2 and coming back, as one function:
;
;	in	RDI	struct l2 *, which begins with L2's registers (l2.h)
;	out	EAX	enum vmx_did: VMX_OK after a VM exit, else the entry
;			failed and L2 has not run
;
; RIP, RSP, RFLAGS and the segments are in the VMCS. HOST_RSP is written only
; when the stack is elsewhere than at the last entry; in an enlightened VMCS, too.
;
; l2_start is where an L2 begins that l2_begin() has set up: RDI is its C
; function, and when that returns, L2 makes the call L2_CALL_END for ever.

%include "guests/lib/saved.inc"

VMCS_HOST_RSP	equ 0x6c14
VMX_FAULT	equ 0x100
L2_CALL_END	equ 0			; l2.h

%define gpr(n)	rdi + 8 * n
HOST_RSP_OFFSET	equ 8 * 16
LAUNCHED_OFFSET	equ 8 * 17
EVMCS_OFFSET	equ 8 * 18		; 0: the current VMCS
EVMCS_HOST_RSP	equ 0x268

section .text
bits 64
global l2_enter, l2_exit_point, l2_start

l2_enter:
	push_saved
	push	rdi
	cmp	rsp, [rdi + HOST_RSP_OFFSET]
	je	.stack_known
	mov	[rdi + HOST_RSP_OFFSET], rsp
	mov	rcx, [rdi + EVMCS_OFFSET]
	test	rcx, rcx
	jnz	.in_page
	mov	eax, VMCS_HOST_RSP
	vmwrite	rax, rsp
	jmp	.stack_known
.in_page:
	mov	[rcx + EVMCS_HOST_RSP], rsp
.stack_known:
	cmp	qword [rdi + LAUNCHED_OFFSET], 0	; flags are kept below
	mov	rax, [gpr(0)]
	mov	rcx, [gpr(1)]
	mov	rdx, [gpr(2)]
	mov	rbx, [gpr(3)]
	mov	rbp, [gpr(5)]
	mov	rsi, [gpr(6)]
	mov	r8, [gpr(8)]
	mov	r9, [gpr(9)]
	mov	r10, [gpr(10)]
	mov	r11, [gpr(11)]
	mov	r12, [gpr(12)]
	mov	r13, [gpr(13)]
	mov	r14, [gpr(14)]
	mov	r15, [gpr(15)]
	mov	rdi, [gpr(7)]
	jne	.resume
.launch:
	vmlaunch
	jmp	.failed
.resume:
	vmresume
.failed:
	mov	eax, 1				; VMX_FAIL_INVALID
	jc	l2_return
	mov	eax, 2				; VMX_FAIL_VALID
	jmp	l2_return
.faulted:					; R8: the vector
	lea	eax, [r8 + VMX_FAULT]
	jmp	l2_return

l2_exit_point:
	push	rdi
	mov	rdi, [rsp + 8]
	pop	qword [gpr(7)]
	mov	[gpr(0)], rax
	mov	[gpr(1)], rcx
	mov	[gpr(2)], rdx
	mov	[gpr(3)], rbx
	mov	[gpr(5)], rbp
	mov	[gpr(6)], rsi
	mov	[gpr(8)], r8
	mov	[gpr(9)], r9
	mov	[gpr(10)], r10
	mov	[gpr(11)], r11
	mov	[gpr(12)], r12
	mov	[gpr(13)], r13
	mov	[gpr(14)], r14
	mov	[gpr(15)], r15
	mov	qword [rdi + LAUNCHED_OFFSET], 1
	xor	eax, eax			; VMX_OK
l2_return:
	pop	rdi
	pop_saved
	ret

l2_start:
	xor	ebp, ebp
	call	rdi
.end:
	mov	eax, L2_CALL_END
	vmcall
	jmp	.end

section fixups
	dq	l2_enter.launch, l2_enter.faulted
	dq	l2_enter.resume, l2_enter.faulted
