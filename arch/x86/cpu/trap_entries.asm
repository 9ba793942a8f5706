; SPDX-License-Identifier: MIT
; Entry points of all 256 vectors: they make the stack look the same for each
; (an error code, then the vector), save the registers as struct trap_frame
; and call trap_dispatch(frame).

extern trap_dispatch

section .text
global trap_entries
	align 16
trap_entries:
%assign vector 0
%rep 256
	align 16
	; SDM vol. 3, "Error Code": these push one themselves.
	%if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
	%else
	push	qword 0
	%endif
	push	qword vector
	jmp	trap_common
%assign vector vector + 1
%endrep

trap_common:
	push	rax
	push	rbx
	push	rcx
	push	rdx
	push	rsi
	push	rdi
	push	rbp
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
	pop	rbp
	pop	rdi
	pop	rsi
	pop	rdx
	pop	rcx
	pop	rbx
	pop	rax
	add	rsp, 16			; vector and error code
	iretq
