; SPDX-License-Identifier: MIT
; The ways into privilege level 3 and into compatibility mode, and back: user.h.

%include "guests/lib/layout.inc"
%include "guests/lib/saved.inc"

CODE_MAX	equ 32			; user.c
NO_FAULT	equ -1

section .text
bits 64
global user_enter, user_returned, user_enter_compatibility

; RDI: a function; RSI: the end of its stack. It comes back by INT3, whose
; handler goes on at user_returned with the stack of the entry.
user_enter:
	push_saved
	mov	[user_kernel_rsp], rsp
	push	SELECTOR_USER_DATA
	push	rsi
	push	2			; RFLAGS
	push	SELECTOR_USER_CODE64
	push	.user
	iretq
.user:
	call	rdi
	int3
user_returned:
	pop_saved
	ret

; The bytes at user_compatibility_code, as 32-bit code. EAX: the vector that
; the first of them raised (the handler leaves it in R8), or NO_FAULT.
user_enter_compatibility:
	push	rbx
	push	rbp
	mov	r8d, NO_FAULT
	push	SELECTOR_CODE32
	push	user_compatibility_code
	retfq
user_after_compatibility:
	mov	eax, r8d
	pop	rbp
	pop	rbx
	ret

section fixups
	dq	user_compatibility_code, user_compatibility_end

section .data
align 16
global user_compatibility_code, user_kernel_rsp
user_compatibility_code:
	times CODE_MAX nop
bits 32
user_compatibility_end:
	jmp	SELECTOR_CODE64:user_after_compatibility
align 8
user_kernel_rsp:
	dq	0
