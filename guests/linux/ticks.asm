; SPDX-License-Identifier: MIT
;
; A program for Linux, without a library: prints what the bench reads,
;
;	ticks shell 1234567.000 times 1 exits 42 flushes 7 ipis 0
;
; the TSC now, and what the VM has cost since it began. The counts come from
; the leaf of CPUID that Umbra shows with bench=on (lib/bench.h); elsewhere the
; processor answers something else, and they mean nothing.

SYS_WRITE	equ 1
SYS_EXIT	equ 60
BENCH_LEAF	equ 0x40000001

section .text
bits 64
global _start
_start:
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	lea	rdi, [text]
	lea	rsi, [before_ticks]
	call	put_text
	call	put_number
	mov	eax, BENCH_LEAF
	xor	ecx, ecx
	cpuid
	mov	r12d, eax
	mov	r13d, ebx
	mov	r14d, ecx
	lea	rsi, [before_exits]
	call	put_text
	mov	eax, r12d
	call	put_number
	lea	rsi, [before_flushes]
	call	put_text
	mov	eax, r13d
	call	put_number
	lea	rsi, [before_ipis]
	call	put_text
	mov	eax, r14d
	call	put_number
	mov	byte [rdi], 10
	inc	rdi
	lea	rsi, [text]
	mov	rdx, rdi
	sub	rdx, rsi
	mov	edi, 1
	mov	eax, SYS_WRITE
	syscall
	xor	edi, edi
	mov	eax, SYS_EXIT
	syscall

; RSI: text that a zero ends, to RDI. RAX stays.
put_text:
	mov	rdx, rax
.next:
	lodsb
	test	al, al
	jz	.done
	stosb
	jmp	.next
.done:
	mov	rax, rdx
	ret

; RAX in decimal, to RDI.
put_number:
	mov	r8d, 10
	xor	ecx, ecx
.divide:
	xor	edx, edx
	div	r8
	push	rdx
	inc	ecx
	test	rax, rax
	jnz	.divide
.put:
	pop	rax
	add	al, '0'
	stosb
	loop	.put
	ret

section .rodata
before_ticks:	db "ticks shell ", 0
before_exits:	db ".000 times 1 exits ", 0
before_flushes:	db " flushes ", 0
before_ipis:	db " ipis ", 0

section .bss
text:	resb 160
