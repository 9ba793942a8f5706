/* SPDX-License-Identifier: MIT */
/*
 * VMX instructions of L1. What they mean is in nested/instruction.h; here the
 * vCPU's registers go in and the outcome comes out.
 */
#include "arch/x86/vmx/exit_vmx.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit_emulate.h"
#include "arch/x86/vmx/exit_hyperv.h"
#include "arch/x86/vmx/nested_entry.h"
#include "arch/x86/vmx/nested_events.h"
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/vmx/nested_memory.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "arch/x86/vmx/vmcs_shadow.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/x86.h"
#include "nested/fields.h"
#include "nested/operand.h"

#define LINEAR_BITS  48
#define INFO_SEGMENT BITS(17, 15)

/* The VMCS's fields of a segment register stand two apart. */
static void read_segment(struct nested_cpu *cpu, u32 i)
{
	cpu->segments[i] = (struct nested_segment_state){
	    .base = vmcs_read_first(VMCS_GUEST_ES_BASE + 2 * i),
	    .limit = (u32)vmcs_read_first(VMCS_GUEST_ES_LIMIT + 2 * i),
	    .rights = (u32)vmcs_read_first(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * i),
	};
}

/* Only what a memory operand needs. */
static NOINLINE void read_for_operand(struct vcpu *vcpu, struct nested_cpu *cpu,
				      const struct nested_instruction *i)
{
	u32 segment = (u32)bits_get(i->information, INFO_SEGMENT);

	cpu->paging.cr3 = vmcs_read_first(VMCS_GUEST_CR3);
	cpu->paging.has_1g_pages = vcpu->vm->cpuid.extended[1].edx & BIT(26);
	if (!(cpu->paging.efer & EFER_LMA))
		for (u32 n = 0; n < 4; n++)
			cpu->paging.pdptes[n] =
			    vmcs_read_first(VMCS_GUEST_PDPTE0 + 2 * n);
	if (segment < NESTED_SEGMENTS)
		read_segment(cpu, segment);
}

/* --- Operands in devices -------------------------------------------------- */

/* The next part that a bus knows. */
static u32 part_of(u32 bytes)
{
	u32 part = sizeof(u64);

	while (part > bytes)
		part /= 2;
	return part;
}

static void read_devices(void *context, gpa_t address, void *to, u32 bytes)
{
	for (u32 done = 0, part; done < bytes; done += part) {
		part = part_of(bytes - done);
		exit_emulate_bus_read(context, gpa(gpa_raw(address) + done),
				      (u8 *)to + done, part);
	}
}

static void write_devices(void *context, gpa_t address, const void *from,
			  u32 bytes)
{
	for (u32 done = 0, part; done < bytes; done += part) {
		part = part_of(bytes - done);
		exit_emulate_bus_write(context, gpa(gpa_raw(address) + done),
				       (const u8 *)from + done, part);
	}
}

static const struct nested_devices devices = {read_devices, write_devices};

void exit_vmx_read_cpu(struct vcpu *vcpu, struct nested_cpu *cpu)
{
	u32 ss = (u32)vmcs_read_first(VMCS_GUEST_SS_ACCESS_RIGHTS);

	vcpu->registers.gpr[REG_RSP] = vmcs_read_first(VMCS_GUEST_RSP);
	cpu->state = &vcpu->nested->state;
	cpu->linked = NULL;
	cpu->offer = &vcpu->vm->offer;
	cpu->mem = &vcpu->vm->memory;
	cpu->devices = &devices;
	cpu->context = vcpu;
	cpu->paging.below = NULL;
	cpu->paging.paths = NULL;
	cpu->paging.phys_bits = vcpu->vm->platform.config.phys_bits;
	cpu->gpr = vcpu->registers.gpr;
	cpu->paging.cr0 = control_registers_read_cr0();
	cpu->paging.cr4 = control_registers_read_cr4();
	cpu->paging.efer = vmcs_read_first(VMCS_GUEST_EFER);
	cpu->paging.rflags = vmcs_read_first(VMCS_GUEST_RFLAGS);
	cpu->paging.cpl = (u8)bits_get(ss, RIGHTS_DPL);
	cpu->segments[NESTED_CS].rights =
	    (u32)vmcs_read_first(VMCS_GUEST_CS_ACCESS_RIGHTS);
	cpu->interruptibility = (u32)vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
	cpu->linear_bits = LINEAR_BITS;
	cpu->pointer = NULL;
	cpu->wants_evmcs = false;
	cpu->found = (struct evmcs_read){0};
}

static enum exit_action raise(struct vcpu *vcpu,
			      const struct nested_result *result)
{
	u32 vector = result->fault.vector;

	if (vector == EXCEPTION_UD)
		vcpu_raise(vcpu, vector);
	else if (vector == EXCEPTION_PF)
		vcpu_raise_page_fault(vcpu, result->fault.address,
				      result->fault.error_code);
	else
		vcpu_raise_with_code(vcpu, vector, result->fault.error_code);
	return ACTION_RESUME;
}

static void invalidate(struct vcpu *vcpu, const struct nested_result *result)
{
	switch (result->invalidation) {
	case NESTED_INVALIDATE_NOTHING:
		break;
	case NESTED_INVALIDATE_EPT:
	case NESTED_INVALIDATE_ALL_EPT:
		shadow_invalidate(&vcpu->vm->shadow);
		break;
	case NESTED_INVALIDATE_ADDRESS:
	case NESTED_INVALIDATE_VPID:
	case NESTED_INVALIDATE_VPID_BUT_GLOBALS:
		/* Translations of other VPIDs of L1's have been dropped. */
		if (result->vpid != vcpu->nested->vpid12)
			break;
		vmx_flush_vpid(vcpu->nested->vpid);
		break;
	case NESTED_INVALIDATE_ALL_VPIDS:
		vmx_flush_vpid(vcpu->nested->vpid);
		break;
	}
}

enum exit_action exit_vmx_finish(struct vcpu *vcpu,
				 const struct nested_result *result,
				 u64 rsp_before)
{
	const u64 *rsp = &vcpu->registers.gpr[REG_RSP];

	vmcs_write(VMCS_GUEST_RFLAGS, result->rflags);
	if (*rsp != rsp_before)
		vmcs_write(VMCS_GUEST_RSP, *rsp);
	invalidate(vcpu, result);
	return ACTION_SKIP;
}

/* Guest state that only vmcs02 has, and controls that it was made with. */
static void before_access(struct vcpu *vcpu, u64 encoding, u32 reason)
{
	struct nested_vcpu *n = vcpu->nested;

	switch (nested_field_group(encoding)) {
	case NESTED_GROUP_SAVED:
		if (reason != EXIT_VMWRITE)
			break;
		nested_vcpu_settle(vcpu);
		n->now->loaded.cold = n->now->loaded.checked = false;
		break;
	case NESTED_GROUP_COLD:
		nested_vcpu_settle(vcpu);
		if (reason == EXIT_VMWRITE)
			n->now->loaded.cold = n->now->loaded.checked = false;
		break;
	case NESTED_GROUP_CONTROLS:
		if (reason != EXIT_VMWRITE)
			break;
		nested_vcpu_settle(vcpu);
		n->now->loaded.controls = n->now->loaded.checked = false;
		break;
	case NESTED_GROUP_OTHER:
		if (reason == EXIT_VMWRITE)
			n->now->loaded.checked = false;
		break;
	case NESTED_GROUP_HOT:
		break;
	}
}

/* A VMWRITE that exits, of a field whose VMREAD does not. */
static bool is_read_in_shadow(const u64 *gpr,
			      const struct nested_instruction *i)
{
	u64 field = gpr[nested_operand_second(i->information)];

	return i->reason == EXIT_VMWRITE &&
	       (nested_field_group(field) == NESTED_GROUP_SAVED ||
		bits_get(field, VMCS_ENCODING_KIND) == VMCS_KIND_READ_ONLY);
}

/* VMREAD and VMWRITE name a field; the others may end the use of the VMCS. */
static void before(struct vcpu *vcpu, const u64 *gpr,
		   const struct nested_instruction *i)
{
	struct nested_vcpu *n = vcpu->nested;

	switch ((u32)i->reason) {
	case EXIT_VMREAD:
	case EXIT_VMWRITE:
		if (is_read_in_shadow(gpr, i))
			vmcs_shadow_take(vcpu);
		before_access(vcpu, gpr[nested_operand_second(i->information)],
			      i->reason);
		break;
	case EXIT_VMLAUNCH:
	case EXIT_VMRESUME:
		vmcs_shadow_take(vcpu);
		break;
	case EXIT_VMPTRLD:
		nested_vcpu_settle(vcpu);
		break;
	case EXIT_VMCLEAR:
	case EXIT_VMXOFF:
		nested_vcpu_settle(vcpu);
		n->now->loaded.controls = n->now->loaded.cold = false;
		n->now->loaded.checked = false;
		break;
	default:
		break;
	}
}

static bool has_memory_operand(const struct nested_instruction *i)
{
	switch ((u32)i->reason) {
	case EXIT_VMREAD:
	case EXIT_VMWRITE:
		return !nested_operand_is_register(i->information);
	case EXIT_VMCALL:
	case EXIT_VMLAUNCH:
	case EXIT_VMRESUME:
	case EXIT_VMXOFF:
		return false;
	default:
		return true;
	}
}

/* What L1 sees without an exit follows from what has been done. */
static void after(struct vcpu *vcpu, const u64 *gpr,
		  const struct nested_instruction *i)
{
	switch ((u32)i->reason) {
	case EXIT_VMXON:
	case EXIT_VMXOFF:
		/* INIT is blocked in VMX operation. */
		if (!nested_vcpu_in_vmx(vcpu))
			nested_events_end(vcpu);
		nested_vcpu_set_masks(vcpu);
		vcpu->attention = 1;
		vmcs_shadow_switch(vcpu);
		break;
	case EXIT_VMPTRLD:
		nested_vcpu_take_slot(vcpu);
		break;
	case EXIT_VMCLEAR:
		vmcs_shadow_switch(vcpu);
		break;
	case EXIT_VMREAD:
		vmcs_shadow_go_on(vcpu);
		break;
	case EXIT_VMWRITE:
		if (is_read_in_shadow(gpr, i))
			vmcs_shadow_give(vcpu);
		vmcs_shadow_go_on(vcpu);
		break;
	default:
		break;
	}
}

/* VMLAUNCH and VMRESUME with an eVMCS end the use of the current VMCS. */
static void before_evmcs(struct vcpu *vcpu, struct nested_cpu *cpu)
{
	exit_hyperv_read_assist(vcpu, cpu);
	if (cpu->wants_evmcs)
		nested_vcpu_settle(vcpu);
}

/* What they have found that vmcs02 was not made with. */
static void after_evmcs(struct vcpu *vcpu, const struct nested_cpu *cpu,
			const struct nested_instruction *i)
{
	const u64 cold = BIT(NESTED_GROUP_COLD) | BIT(NESTED_GROUP_SAVED);
	struct nested_loaded *loaded = &vcpu->nested->now->loaded;
	u32 changed = cpu->found.changed;

	if (i->reason != EXIT_VMLAUNCH && i->reason != EXIT_VMRESUME)
		return;
	vcpu->nested->msr_bitmap_is_clean = cpu->found.msr_bitmap_is_clean;
	if (changed & BIT(NESTED_GROUP_CONTROLS))
		loaded->controls = false;
	if (changed & cold)
		loaded->cold = false;
	if (changed & ~BIT(NESTED_GROUP_HOT))
		loaded->checked = false;
	if (cpu->wants_evmcs)
		vmcs_shadow_switch(vcpu);
}

/* Else VMXON is executed again, until the VM's other vCPUs have come out. */
static bool tells_shadow(struct vcpu *vcpu)
{
	nested_vcpu_tell_shadow(vcpu);
	/* The APIC-access page goes, which has to be flushed. */
	vcpu->attention = 1;
	return vm_use_shadow(vcpu->vm);
}

static enum exit_action finish(struct vcpu *vcpu, struct nested_cpu *cpu,
			       const struct nested_result *result, u64 rsp)
{
	switch (result->outcome) {
	case NESTED_DONE:
		return exit_vmx_finish(vcpu, result, rsp);
	case NESTED_FAULT:
		return raise(vcpu, result);
	case NESTED_ENTER:
		return nested_enter(vcpu, cpu);
	case NESTED_AGAIN:
		break;
	}
	return ACTION_RESUME;
}

enum exit_action exit_vmx_with_pointer(struct vcpu *vcpu,
				       const struct vmx_exit *exit,
				       const u64 *pointer)
{
	u64 *rsp = &vcpu->registers.gpr[REG_RSP];
	const struct nested_instruction i = {
	    .reason = (enum exit_reason)(exit->reason & (u32)EXIT_REASON_BASIC),
	};
	struct nested_cpu cpu = {
	    .state = &vcpu->nested->state,
	    .offer = &vcpu->vm->offer,
	    .mem = &vcpu->vm->memory,
	    .gpr = vcpu->registers.gpr,
	    .paging = {.rflags = vmcs_read(VMCS_GUEST_RFLAGS),
		       .phys_bits = vcpu->vm->platform.config.phys_bits},
	    .pointer = pointer,
	};
	struct nested_result result;

	exit_hyperv_read_assist(vcpu, &cpu);
	/* A VMCLEAR of another one does not concern the current VMCS. */
	if (i.reason == EXIT_VMCLEAR &&
	    !gpa_equal(gpa(*pointer), vcpu->nested->state.current)) {
		result = nested_execute(&cpu, &i);
	} else {
		before(vcpu, vcpu->registers.gpr, &i);
		result = nested_execute(&cpu, &i);
		after(vcpu, vcpu->registers.gpr, &i);
	}
	return finish(vcpu, &cpu, &result, *rsp);
}

/* What exit_vmx_fast.c goes by from now on. */
static void note(struct vcpu *vcpu, const struct nested_cpu *cpu,
		 const struct nested_result *result)
{
	struct nested_vcpu *n = vcpu->nested;

	n->is_64_bit = nested_in_vmx(&n->state) && nested_is_64_bit(cpu);
	if (result->outcome == NESTED_DONE &&
	    result->invalidation == NESTED_INVALIDATE_EPT)
		n->invept_pointer = result->eptp;
}

enum exit_action on_vmx_instruction(struct vcpu *vcpu,
				    const struct vmx_exit *exit)
{
	struct nested_cpu cpu;
	struct nested_instruction i = {
	    .reason = (enum exit_reason)(exit->reason & (u32)EXIT_REASON_BASIC),
	    .information = (u32)vmcs_read(VMCS_EXIT_INSTRUCTION_INFO),
	};
	struct nested_result result;
	u64 rsp;

	if (i.reason == EXIT_VMCALL && hyperv_may_call(&vcpu->vm->hyperv))
		return exit_hyperv_call(vcpu);
	if (!vcpu->nested)
		return on_undefined(vcpu, exit);
	nested_vcpu_leave_guest(vcpu);
	if (i.reason == EXIT_VMXON && !tells_shadow(vcpu))
		return ACTION_RESUME;
	exit_vmx_read_cpu(vcpu, &cpu);
	rsp = cpu.gpr[REG_RSP];
	if (has_memory_operand(&i)) {
		i.displacement = vmcs_read(VMCS_EXIT_QUALIFICATION);
		read_for_operand(vcpu, &cpu, &i);
	}
	before(vcpu, vcpu->registers.gpr, &i);
	before_evmcs(vcpu, &cpu);
	result = nested_execute(&cpu, &i);
	after(vcpu, vcpu->registers.gpr, &i);
	after_evmcs(vcpu, &cpu, &i);
	note(vcpu, &cpu, &result);
	return finish(vcpu, &cpu, &result, rsp);
}

/* --- VMREAD and VMWRITE of L2 --------------------------------------------- */

/*
 * With VMCS shadowing L2 accesses the VMCS that the link pointer names: SDM
 * vol. 3, "VMCS Shadowing Bitmap Addresses".
 */
static void take_shadow(struct vcpu *vcpu)
{
	struct nested_vcpu *n = vcpu->nested;
	u64 link = n->state.vmcs12.link_pointer;

	nested_state_reset(&n->of_l2);
	n->of_l2.current = gpa(link);
	if (nested_has_current(&n->of_l2))
		vmcs12_load(&n->of_l2.vmcs12, &vcpu->vm->memory, gpa(link));
}

enum exit_action exit_vmx_access_shadow(struct vcpu *vcpu,
					const struct nested_exit *exit)
{
	struct nested_vcpu *n = vcpu->nested;
	struct nested_memory memory;
	struct nested_cpu cpu;
	const struct nested_instruction i = {
	    .reason = (enum exit_reason)exit->reason,
	    .information = exit->instruction_information,
	    .displacement = exit->qualification,
	};
	struct nested_result result;
	u64 rsp;

	exit_vmx_read_cpu(vcpu, &cpu);
	cpu.linked = &n->of_l2;
	cpu.paging.cr0 = vmcs_read(VMCS_GUEST_CR0);
	cpu.paging.cr4 = vmcs_read(VMCS_GUEST_CR4);
	cpu.paging.below = nested_memory_init(&memory, vcpu);
	if (has_memory_operand(&i))
		read_for_operand(vcpu, &cpu, &i);
	take_shadow(vcpu);
	rsp = cpu.gpr[REG_RSP];
	result = nested_execute(&cpu, &i);
	nested_write_back(&n->of_l2, &vcpu->vm->memory);
	if (memory.exit.reason) {
		memory.exit.linear = result.address;
		nested_exit_by_access(vcpu, &memory.exit);
		return ACTION_RESUME;
	}
	if (result.outcome == NESTED_FAULT)
		return raise(vcpu, &result);
	if (result.outcome != NESTED_DONE)
		return ACTION_RESUME;
	return exit_vmx_finish(vcpu, &result, rsp);
}
