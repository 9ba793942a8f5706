; SPDX-License-Identifier: MIT
;
; For the guest `tracked`: events that come when the log is full to the last
; entry. C would touch memory of its own between the last write and the event.

%include "guests/lib/saved.inc"

section .text
bits 64

MSR_X2APIC_ICR	equ 0x830
ICR_NMI		equ 4 << 8 | 1 << 14	; delivery mode, level assert
ICR_TO_SELF	equ 1 << 18
NOT_MAPPED	equ (64 << 30) + 0x123	; tracked.c knows it, too
BAD_SELECTOR	equ 0x7f8
VECTOR_PLAIN	equ 0x50
VECTOR_IPI	equ 0x41

; --- Events ------------------------------------------------------------------
; RDI: a page, RSI: how many from there on are written before the event. Each
; returns where its frame must point, or 0; lies in one page of code.

; RDI and RSI: see above.
%macro write_pages 0
%%next:
	mov	byte [rdi], 1
	add	rdi, 4096
	dec	rsi
	jnz	%%next
%endmacro

align 64
global raise_ud
raise_ud:
	lea	rax, [.at]
	write_pages
.at:	ud2
	ret

align 64
global raise_pf
raise_pf:
	lea	rax, [.at]
	mov	rdx, NOT_MAPPED
	write_pages
.at:	mov	[rdx], al		; two bytes
	ret

align 64
global raise_gp
raise_gp:
	lea	rax, [.at]
	mov	edx, BAD_SELECTOR
	write_pages
.at:	mov	ds, edx			; two bytes
	ret

align 64
global raise_bp
raise_bp:
	lea	rax, [.behind]
	write_pages
	int3
.behind: ret

align 64
global raise_software
raise_software:
	lea	rax, [.behind]
	write_pages
	int	VECTOR_PLAIN
.behind: ret

align 64
global raise_interrupt
raise_interrupt:
	mov	ecx, MSR_X2APIC_ICR
	mov	eax, VECTOR_IPI | ICR_TO_SELF
	xor	edx, edx
	sti
	write_pages
	wrmsr
	nop
	cli
	xor	eax, eax
	ret

align 64
global raise_nmi
raise_nmi:
	mov	ecx, MSR_X2APIC_ICR
	mov	eax, ICR_NMI
	mov	edx, [nmi_apic_id]
	write_pages
	wrmsr
	nop
	xor	eax, eax
	ret

; --- IRET --------------------------------------------------------------------
; An NMI whose handler leaves the log so that its IRET needs what is not there,
; while another NMI waits for that IRET.
;
; Between the harvest and the IRET nothing is pushed: the stack of this handler
; is reached through page tables that nothing else uses (tracked.c), and the
; IRET is to be the first to walk them again.

; Loses RAX, RCX, RDX.
%macro send_nmi_to_self 0
	mov	ecx, MSR_X2APIC_ICR
	mov	eax, ICR_NMI
	mov	edx, [nmi_apic_id]
	wrmsr
%endmacro

; Sends an NMI and waits until both have been served, or for long enough.
global nmi_round, nmi_round_end
nmi_round:
	push_saved
	mov	dword [nmi_count], 0
	mov	r13d, 1000000
	send_nmi_to_self
.wait:
	dec	r13d
	jz	.end
	cmp	dword [nmi_count], 2
	jne	.wait
.end:
	pop_saved
	ret
nmi_round_end:

; Both NMIs use one stack. Does the second not wait for the IRET, the first
; one's frame is lost, and would be the second's own: an IRET to itself, for
; ever. So the second goes back by the frame that the first has kept.
FRAME_QUADS	equ 5			; RIP, CS, RFLAGS, RSP, SS

; Loses what nmi_round keeps nothing in.
global nmi_entry
nmi_entry:
	inc	dword [nmi_count]
	cmp	dword [nmi_count], 1
	jne	.second
%assign quad 0
%rep FRAME_QUADS
	mov	rax, [rsp + quad * 8]
	mov	[nmi_frame + quad * 8], rax
%assign quad quad + 1
%endrep
	send_nmi_to_self		; waits for our IRET

	mov	eax, [nmi_bench_leaf]
	mov	ecx, [nmi_counters]
	cpuid
	mov	r12d, edx		; how many steps have been done
	mov	eax, [nmi_bench_leaf]
	mov	ecx, [nmi_harvest]
	cpuid
.wait:
	mov	eax, [nmi_bench_leaf]
	mov	ecx, [nmi_counters]
	cpuid
	cmp	edx, r12d
	je	.wait

	mov	rdi, [nmi_base]
	mov	esi, [nmi_pages]
	jmp	.full

align 64
.full:
	write_pages
	iretq
.second:
	mov	rax, [rsp]
	mov	[nmi_second_rip], rax
	lea	rcx, [nmi_entry]
	cmp	rax, rcx
	jb	.end
	lea	rcx, [.second]
	cmp	rax, rcx
	jae	.end
%assign quad 0
%rep FRAME_QUADS
	mov	rax, [nmi_frame + quad * 8]
	mov	[rsp + quad * 8], rax
%assign quad quad + 1
%endrep
.end:	iretq

section .bss
global nmi_apic_id, nmi_bench_leaf, nmi_counters, nmi_harvest
global nmi_base, nmi_pages, nmi_count, nmi_second_rip
align 8
nmi_base:	resq 1
nmi_second_rip:	resq 1
nmi_frame:	resq FRAME_QUADS
nmi_apic_id:	resd 1
nmi_bench_leaf:	resd 1
nmi_counters:	resd 1
nmi_harvest:	resd 1
nmi_pages:	resd 1		; at least 1
nmi_count:	resd 1
