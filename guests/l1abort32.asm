; SPDX-License-Identifier: MIT
;
; For the guest `l1abort`: from 64-bit mode to PAE paging, and into L2.
;
;	RDI, RSI, RDX	the VMXON region, the VMCS, the four PDPTEs: below 4 GiB
;
; It does not come back. It ends the run with 0 if L2 has exited to 32-bit code,
; and with 1 if it was not entered.

%include "guests/lib/layout.inc"

CR0_PAGING	equ 1 << 31
CR0_NE		equ 1 << 5
CR4_VMXE	equ 1 << 13
MSR_EFER	equ 0xc0000080
EFER_LME	equ 1 << 8
DEBUG_EXIT_PORT	equ 0xf4

section .text
bits 64
global enter_from_32_bits, exit_to_32_bits
enter_from_32_bits:
	cli
	mov	[vmxon_region], rdi
	mov	[vmcs], rsi
	push	SELECTOR_CODE32
	push	.compatible
	retfq
bits 32
.compatible:
	mov	eax, cr0
	and	eax, ~CR0_PAGING
	mov	cr0, eax
	mov	ecx, MSR_EFER
	mov	ebx, edx
	rdmsr
	and	eax, ~EFER_LME
	wrmsr
	mov	ax, SELECTOR_DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	cr3, ebx
	mov	eax, cr4
	or	eax, CR4_VMXE
	mov	cr4, eax
	mov	eax, cr0
	or	eax, CR0_PAGING | CR0_NE
	mov	cr0, eax
	vmxon	[vmxon_region]
	vmptrld	[vmcs]
	vmlaunch
	mov	al, 1
	jmp	end
exit_to_32_bits:
	mov	al, 0
end:
	mov	dx, DEBUG_EXIT_PORT
	out	dx, al
	hlt
	jmp	end

section .bss
vmxon_region:
	resq	1
vmcs:
	resq	1
