/* SPDX-License-Identifier: MIT */
/* A VM's clock and its end; what is said when a vCPU cannot go on. */
#include "arch/x86/vmx/vm.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/fmt.h"
#include "lib/log.h"

void vm_end(struct vm *vm, enum vm_end end, u32 value)
{
	enum vm_end none = VM_END_NONE;

	/* The first who comes says how it ended. */
	if (!__atomic_compare_exchange_n(&vm->end, &none, end, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	vm->end_value = value;
	__atomic_store_n(&vm->state, VM_ENDED, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		vcpu_kick(vm->vcpus[i]);
}

u64 vm_now_ns(const struct vm *vm)
{
	const struct guest_time *time = &vm->time;

	return guest_time_ns(time, guest_time_tsc(time, insn_rdtsc()));
}

u64 vm_tsc_at(const struct vm *vm, u64 ns)
{
	const struct guest_time *time = &vm->time;

	if (ns == CLOCK_NEVER)
		return UINT64_MAX;
	return guest_time_host_tsc(time, guest_time_reaching_ns(time, ns));
}

static void print_segments(const struct vcpu_state *state)
{
	static const char *const names[SREG_COUNT] = {"ES", "CS", "SS",   "DS",
						      "FS", "GS", "LDTR", "TR"};

	for (u32 i = 0; i < SREG_COUNT; i++) {
		const struct segment_state *s = &state->segments[i];

		log_error("  %-4s %04x base %016lx limit %08x rights %05x",
			  names[i], s->selector, s->base, s->limit, s->rights);
	}
	log_error("  GDTR base %016lx limit %04x  IDTR base %016lx limit %04x",
		  state->gdtr.base, state->gdtr.limit, state->idtr.base,
		  state->idtr.limit);
}

static void print_registers(const struct vcpu_state *s)
{
	const u64 *g = s->gpr;

	log_error("  RIP=%016lx RFL=%016lx", s->rip, s->rflags);
	log_error("  RAX=%016lx RBX=%016lx RCX=%016lx RDX=%016lx", g[REG_RAX],
		  g[REG_RBX], g[REG_RCX], g[REG_RDX]);
	log_error("  RSI=%016lx RDI=%016lx RBP=%016lx RSP=%016lx", g[REG_RSI],
		  g[REG_RDI], g[REG_RBP], g[REG_RSP]);
	log_error("  R8 =%016lx R9 =%016lx R10=%016lx R11=%016lx", g[8], g[9],
		  g[10], g[11]);
	log_error("  R12=%016lx R13=%016lx R14=%016lx R15=%016lx", g[12], g[13],
		  g[14], g[15]);
	log_error("  CR0=%016lx CR2=%016lx CR3=%016lx CR4=%016lx", s->cr0,
		  s->cr2, s->cr3, s->cr4);
	log_error("  EFER=%lx DR7=%lx interruptibility=%x pending debug=%lx",
		  s->efer, s->dr7, s->interruptibility, s->pending_debug);
}

static void print_exit(const struct vcpu *vcpu)
{
	log_error("  last exit: %s (%#lx) qualification %#lx, %lu exits",
		  exit_reason_text((u32)vmcs_read(VMCS_EXIT_REASON)),
		  vmcs_read(VMCS_EXIT_REASON),
		  vmcs_read(VMCS_EXIT_QUALIFICATION), vcpu_exit_count(vcpu));
	log_error("  IDT-vectoring %#lx, interruption %#lx, instruction length "
		  "%lu",
		  vmcs_read(VMCS_IDT_VECTORING_INFO),
		  vmcs_read(VMCS_EXIT_INTERRUPTION_INFO),
		  vmcs_read(VMCS_EXIT_INSTRUCTION_LENGTH));
}

void vcpu_fail(struct vcpu *vcpu, const char *format, ...)
{
	struct vcpu_state state;
	char reason[256];
	va_list args;

	if (vm_has_ended(vcpu->vm))
		return;
	platform_hand_over(&vcpu->vm->platform);
	va_start(args, format);
	fmt_va(reason, sizeof(reason), format, args);
	va_end(args);
	log_error("guest %s, vCPU %u, is stopped: %s", vcpu->vm->name,
		  vcpu->index, reason);
	vcpu_state_read(vcpu, &state);
	print_registers(&state);
	print_segments(&state);
	print_exit(vcpu);
	vm_end(vcpu->vm, VM_END_FAILED, 0);
}

void vcpu_triple_fault(struct vcpu *vcpu)
{
	if (vcpu->vm->restarts)
		vm_end(vcpu->vm, VM_END_RESET, 0);
	else
		vcpu_fail(vcpu, "triple fault");
}
