; SPDX-License-Identifier: MIT
;
; The 256 interrupt entry points. Each brings the stack into the shape of
; struct trap_frame (trap.h) and calls trap_dispatch with its address.

extern trap_dispatch

; Exceptions that push an error code themselves.
%define PUSHES_ERROR(v) (v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21)

section .text
bits 64

%assign vector 0
%rep 256
entry_%+vector:
%if !PUSHES_ERROR(vector)
	push	0
%endif
	push	vector
	jmp	entry_common
%assign vector vector + 1
%endrep

entry_common:
	push	rax
	push	rcx
	push	rdx
	push	rbx
	push	rbp
	push	rsi
	push	rdi
	push	r8
	push	r9
	push	r10
	push	r11
	push	r12
	push	r13
	push	r14
	push	r15
	cld
	mov	rdi, rsp
	mov	rbx, rsp
	and	rsp, -16
	call	trap_dispatch
	mov	rsp, rbx
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rdi
	pop	rsi
	pop	rbp
	pop	rbx
	pop	rdx
	pop	rcx
	pop	rax
	add	rsp, 16			; vector and error code
	iretq

section .rodata
align 8
global trap_entries
trap_entries:
%assign vector 0
%rep 256
	dq	entry_%+vector
%assign vector vector + 1
%endrep
