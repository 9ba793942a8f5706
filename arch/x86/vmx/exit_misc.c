/* SPDX-License-Identifier: MIT */
/* HLT, timers, instructions that a guest does not have, and dead ends. */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/log.h"
#include "lib/x86.h"

/* Only an NMI or INIT, which only another vCPU could send, would wake it. */
static bool is_dead(const struct vcpu *vcpu)
{
	return vcpu->activity == VCPU_WAIT_FOR_SIPI || vcpu->halted_for_good;
}

/* A user waits for such a guest in vain: say so, once. */
static void say_if_all_dead(struct vm *vm)
{
	for (u32 i = 0; i < vm->vcpu_count; i++)
		if (!is_dead(vm->vcpus[i]))
			return;
	if (__atomic_exchange_n(&vm->said_dead, true, __ATOMIC_RELAXED))
		return;
	log_info("guest %s: every vCPU has halted with interrupts off; it will "
		 "not run on",
		 vm->name);
}

enum exit_action on_hlt(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	u64 rflags = vmcs_read(VMCS_GUEST_RFLAGS);

	(void)exit;
	/* The trap of a single step ends it at once. */
	if (rflags & RFLAGS_TF)
		return ACTION_SKIP;
	vcpu->activity = VCPU_HALTED;
	/* What L2 does not take may be L1's. */
	vcpu->halted_for_good = !vcpu->in_l2 && !(rflags & RFLAGS_IF);
	if (vcpu->halted_for_good)
		say_if_all_dead(vcpu->vm);
	vcpu->attention = 1;
	return ACTION_SKIP;
}

/* Either a device's timer is due or the vCPU's time is over: look. */
enum exit_action on_preemption_timer(struct vcpu *vcpu,
				     const struct vmx_exit *exit)
{
	(void)exit;
	vcpu->attention = 1;
	return ACTION_RESUME;
}

/*
 * Caches are coherent and guest memory is write-back: there is nothing to
 * write back, and INVD must not lose anything.
 */
enum exit_action on_invd(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	(void)vcpu;
	(void)exit;
	return ACTION_SKIP;
}

/* A loop of PAUSEs that goes on for long. */
enum exit_action on_pause(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	(void)exit;
	vcpu_yield(vcpu);
	return ACTION_SKIP;
}

/* An instruction of a feature that the guest's CPUID does not show. */
enum exit_action on_undefined(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	(void)exit;
	vcpu_raise(vcpu, EXCEPTION_UD);
	return ACTION_RESUME;
}

/* No performance counters: every index is out of range. */
enum exit_action on_rdpmc(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	(void)exit;
	vcpu_raise_with_code(vcpu, EXCEPTION_GP, 0);
	return ACTION_RESUME;
}

enum exit_action on_triple_fault(struct vcpu *vcpu, const struct vmx_exit *exit)
{
	(void)exit;
	vcpu_triple_fault(vcpu);
	return ACTION_STOP;
}

enum exit_action on_entry_failure(struct vcpu *vcpu,
				  const struct vmx_exit *exit)
{
	vcpu_fail(vcpu, "%s (qualification %#lx)",
		  exit_reason_text(exit->reason), exit->qualification);
	return ACTION_STOP;
}
