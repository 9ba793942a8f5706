; SPDX-License-Identifier: MIT
;
; Trying something and coming back, whatever happens: for the guest `hostile`.

%include "guests/lib/saved.inc"

section .text
bits 64

; bool attempt(void (*operation)(void)), RDI: returns 0, or 1 if an exception
; ended it (attempt_recover). What C expects to be kept is on the stack.
global attempt, attempt_return, attempt_stack
attempt:
	push_saved
	mov	[attempt_stack], rsp
	call	rdi
	xor	eax, eax
	jmp	leave_attempt

; The exception handler returns to here, with the stack of the attempt.
attempt_return:
	mov	eax, 1
leave_attempt:
	cld
	mov	qword [attempt_stack], 0	; from here on nothing comes back
	pop_saved
	ret

; void run_by_steps(const void *code): with a #DB behind every instruction.
global run_by_steps
run_by_steps:
	push_saved
	pushfq
	or	qword [rsp], 1 << 8
	popfq
	call	rdi
	pop_saved
	ret

; Instructions that are not there, or should not be; one operation for each.
; Each takes RAX, RCX, RDX, RSI and RDI as they come: void f(u64 rdi, u64 rsi,
; u64 rdx, u64 rcx).
%macro odd 2+
odd_%1:
	push	rbx
	mov	rax, rdi
	%2
	pop	rbx
	ret
%endmacro
	odd vmcall, vmcall
	odd vmlaunch, vmlaunch
	odd vmresume, vmresume
	odd vmxoff, vmxoff
	odd vmxon, vmxon [rsi]
	odd vmclear, vmclear [rsi]
	odd vmptrld, vmptrld [rsi]
	odd vmptrst, vmptrst [rsi]
	odd vmread, vmread rax, rcx
	odd vmwrite, vmwrite rax, rcx
	odd invept, invept rax, [rsi]
	odd invvpid, invvpid rax, [rsi]
	odd vmfunc, vmfunc
	odd getsec, getsec
	odd encls, {db 0x0f, 0x01, 0xcf}
	odd rsm, rsm
	odd monitor, monitor
	odd mwait, mwait
	odd pause, pause
	odd wbinvd, wbinvd
	odd invd, invd
	odd invlpg, invlpg [rdi]
	odd invpcid, invpcid rax, [rsi]
	odd rdpmc, rdpmc
	odd rdtscp, rdtscp
	odd rdrand, rdrand rax
	odd rdseed, rdseed rax
	odd cpuid, cpuid
	odd xgetbv, xgetbv
	odd xsetbv, xsetbv
	odd xsaves, {db 0x48, 0x0f, 0xc7, 0x2e}	; XSAVES64 [RSI]
	odd icebp, {db 0xf1}
	odd breakpoint, int3
	odd undefined, ud2
	odd swapgs, swapgs
	odd syscall, syscall
	odd sysenter, sysenter
	odd sysexit, sysexit
	odd smsw, smsw rax
	odd lmsw, lmsw ax
	odd clts, clts
	odd clac, clac
	odd stac, stac
	odd sgdt, sgdt [rsi]
	odd sldt, sldt ax
	odd str, str ax
	odd lldt, lldt ax
	odd ltr, ltr ax
	odd verr, verr ax
	odd lar, lar eax, ax
	odd int80, int 0x80
	odd int_apic, int 0x51
	odd int_fault, int 13
	odd iret, iretq
	odd fninit, fninit
	odd emms, emms
	odd fwait, fwait

; What the random code of `soup` may not know by name.
section .rodata
align 8
global odd_instructions, odd_instructions_end
odd_instructions:
	dq	odd_vmcall, odd_vmlaunch, odd_vmresume, odd_vmxoff, odd_vmxon
	dq	odd_vmclear, odd_vmptrld, odd_vmptrst, odd_vmread, odd_vmwrite
	dq	odd_invept, odd_invvpid, odd_vmfunc, odd_getsec, odd_encls
	dq	odd_rsm, odd_monitor, odd_mwait, odd_pause, odd_wbinvd, odd_invd
	dq	odd_invlpg, odd_invpcid, odd_rdpmc, odd_rdtscp, odd_rdrand
	dq	odd_rdseed, odd_cpuid, odd_xgetbv, odd_xsetbv, odd_xsaves
	dq	odd_icebp, odd_breakpoint, odd_undefined, odd_swapgs
	dq	odd_syscall, odd_sysenter, odd_sysexit, odd_smsw, odd_lmsw
	dq	odd_clts, odd_clac, odd_stac, odd_sgdt, odd_sldt, odd_str
	dq	odd_lldt, odd_ltr, odd_verr, odd_lar, odd_int80, odd_int_apic
	dq	odd_int_fault, odd_iret, odd_fninit, odd_emms, odd_fwait
odd_instructions_end:

section .bss nobits
attempt_stack:	resq 1
