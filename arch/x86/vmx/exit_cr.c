/* SPDX-License-Identifier: MIT */
/*
 * Accesses to control registers that exit: bits of CR0 and CR4 that are not
 * the guest's own, and CR8.
 * SDM vol. 3, "Exit Qualification for Control-Register Accesses".
 */
#include "arch/x86/vmx/capability.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/exit.h"
#include "arch/x86/vmx/nested_exit.h"
#include "arch/x86/vmx/nested_memory.h"
#include "arch/x86/vmx/vcpu_events.h"
#include "arch/x86/vmx/vmx_cpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "arch/x86/vmx/vpid.h"
#include "lib/x86.h"

#define CR_NUMBER   BITS(3, 0)
#define CR_TYPE     BITS(5, 4)
#define CR_REGISTER BITS(11, 8)
#define CR_LMSW     BITS(31, 16)

#define PAE_CR3     BITS(31, 5)

#define LMSW_BITS   (CR0_PE | CR0_MP | CR0_EM | CR0_TS)

enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW_TYPE };

static u64 read_gpr(const struct vcpu *vcpu, u32 number)
{
	return number == REG_RSP ? vmcs_read(VMCS_GUEST_RSP)
				 : vcpu->registers.gpr[number];
}

static void write_gpr(struct vcpu *vcpu, u32 number, u64 value)
{
	if (number == REG_RSP)
		vmcs_write(VMCS_GUEST_RSP, value);
	else
		vcpu->registers.gpr[number] = value;
}

static enum exit_action fault(struct vcpu *vcpu)
{
	vcpu_raise_with_code(vcpu, EXCEPTION_GP, 0);
	return ACTION_RESUME;
}

static bool pae_tables_in_use(u64 cr0, u64 cr4)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) &&
	       !(vmcs_read(VMCS_GUEST_EFER) & EFER_LMA);
}

/* All four, or none if one of them is wrong. */
static enum control_register_verdict put_pdptes(const struct vcpu *vcpu,
						const u64 pdptes[4])
{
	u64 reserved = BITS(63, vcpu->vm->platform.config.phys_bits) |
		       BITS(8, 5) | BITS(2, 1);

	for (u32 i = 0; i < 4; i++)
		if ((pdptes[i] & BIT(0)) && (pdptes[i] & reserved))
			return CONTROL_REGISTER_FAULT;
	for (u32 i = 0; i < 4; i++)
		vmcs_write(VMCS_GUEST_PDPTE0 + 2 * i, pdptes[i]);
	return CONTROL_REGISTER_OK;
}

enum control_register_verdict exit_cr_load_pdptes(struct vcpu *vcpu)
{
	gpa_t table = gpa(vmcs_read(VMCS_GUEST_CR3) & PAE_CR3);
	u64 pdptes[4];

	if (guest_mem_read(&vcpu->vm->memory, table, pdptes, sizeof(pdptes)) !=
	    OK)
		return CONTROL_REGISTER_FAULT;
	return put_pdptes(vcpu, pdptes);
}

/*
 * A MOV to CR0, CR3 or CR4 that switches PAE paging on, or changes it, loads
 * the four PDPTEs from memory (SDM vol. 3, "PDPTE Registers"); under EPT the VM
 * entry takes them from the VMCS. The table of an L2 is where EPT12 has it.
 * ACTION_SKIP: it has. Otherwise the instruction has not happened.
 */
static enum exit_action load_pdptes(struct vcpu *vcpu, u64 cr3)
{
	struct nested_memory memory;
	u64 pdptes[4];
	enum err err =
	    nested_memory_read_pdptes(&memory, vcpu, cr3 & PAE_CR3, pdptes);

	if (err == ERR_STATE)
		nested_exit_by_access(vcpu, &memory.exit);
	if (err == ERR_STATE || err == ERR_BUSY) /* busy: it is tried again */
		return ACTION_RESUME;
	if (err != OK || put_pdptes(vcpu, pdptes) != CONTROL_REGISTER_OK)
		return fault(vcpu);
	return ACTION_SKIP;
}

/* As the instruction would; without VPIDs the VM entry does it. */
static void empty_tlb(bool wanted)
{
	if (wanted && vmx_capability.has_vpid)
		vmx_flush_vpid((u16)vmcs_read(VMCS_VPID));
}

static enum exit_action write_cr0(struct vcpu *vcpu, u64 value)
{
	u64 old = control_registers_true_cr0(vcpu);
	u64 cr4 = vmcs_read(VMCS_GUEST_CR4);
	bool long_mode = vmcs_read(VMCS_GUEST_EFER) & EFER_LME;
	enum exit_action action = ACTION_SKIP;

	value = control_registers_written_cr0(vcpu, value);
	if (control_registers_check_cr0(vcpu, value) != CONTROL_REGISTER_OK)
		return fault(vcpu);
	if ((value & CR0_PG) && (cr4 & CR4_PAE) && !long_mode &&
	    ((value ^ old) & (CR0_PG | CR0_CD | CR0_NW)))
		action = load_pdptes(vcpu, vmcs_read(VMCS_GUEST_CR3));
	if (action != ACTION_SKIP)
		return action;
	control_registers_write_cr0(vcpu, value);
	empty_tlb(vpid_emptied_by_cr0(old, value));
	return ACTION_SKIP;
}

static enum exit_action write_cr4(struct vcpu *vcpu, u64 value)
{
	u64 old = control_registers_true_cr4(vcpu);
	enum exit_action action = ACTION_SKIP;
	u64 changed;

	value = control_registers_written_cr4(vcpu, value);
	changed = value ^ old;
	if (control_registers_check_cr4(vcpu, value) != CONTROL_REGISTER_OK)
		return fault(vcpu);
	if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) &&
	    pae_tables_in_use(vmcs_read(VMCS_GUEST_CR0), value))
		action = load_pdptes(vcpu, vmcs_read(VMCS_GUEST_CR3));
	if (action != ACTION_SKIP)
		return action;
	control_registers_write_cr4(vcpu, value);
	empty_tlb(vpid_emptied_by_cr4(old, value));
	return ACTION_SKIP;
}

/*
 * Exits where a CPU has it so always, or knows fewer targets of L1's than Umbra
 * offers. Only L2 has MOV to CR3 exit for a reason of its own.
 */
static enum exit_action write_cr3(struct vcpu *vcpu, u64 value)
{
	u64 cr4 = control_registers_true_cr4(vcpu);
	u64 no_flush = cr4 & CR4_PCIDE ? BIT(63) : 0;
	u64 reserved =
	    BITS(63, vcpu->vm->platform.config.phys_bits) & ~no_flush;
	enum exit_action action = ACTION_SKIP;

	if (pae_tables_in_use(vmcs_read(VMCS_GUEST_CR0), cr4))
		action = load_pdptes(vcpu, value);
	else if (value & reserved)
		return fault(vcpu);
	if (action != ACTION_SKIP)
		return action;
	vmcs_write(VMCS_GUEST_CR3, value & ~no_flush);
	empty_tlb(!(value & no_flush));
	return ACTION_SKIP;
}

static enum exit_action move_to(struct vcpu *vcpu, u32 number, u64 value)
{
	switch (number) {
	case 0:
		return write_cr0(vcpu, value);
	case 3:
		return write_cr3(vcpu, value);
	case 4:
		return write_cr4(vcpu, value);
	case 8:
		if (value & ~BITS(3, 0))
			return fault(vcpu);
		lapic_set_cr8(vcpu->lapic, value);
		vcpu_events_check(vcpu);
		return ACTION_SKIP;
	default:
		vcpu_fail(vcpu, "write to CR%u exits", number);
		return ACTION_STOP;
	}
}

/* LMSW cannot clear PE. */
static enum exit_action load_status_word(struct vcpu *vcpu, u64 word)
{
	u64 cr0 = control_registers_read_cr0();

	word |= cr0 & CR0_PE;
	return write_cr0(vcpu, (cr0 & ~LMSW_BITS) | (word & LMSW_BITS));
}

enum exit_action on_control_register(struct vcpu *vcpu,
				     const struct vmx_exit *exit)
{
	u32 number = (u32)bits_get(exit->qualification, CR_NUMBER);
	u32 gpr = (u32)bits_get(exit->qualification, CR_REGISTER);

	switch ((enum cr_access)bits_get(exit->qualification, CR_TYPE)) {
	case CR_MOV_TO:
		return move_to(vcpu, number, read_gpr(vcpu, gpr));
	case CR_MOV_FROM:
		if (number != 3 && number != 8)
			break;
		write_gpr(vcpu, gpr,
			  number == 3 ? vmcs_read(VMCS_GUEST_CR3)
				      : lapic_cr8(vcpu->lapic));
		return ACTION_SKIP;
	case CR_CLTS:
		return write_cr0(vcpu, control_registers_read_cr0() & ~CR0_TS);
	case CR_LMSW_TYPE:
		return load_status_word(vcpu,
					bits_get(exit->qualification, CR_LMSW));
	}
	vcpu_fail(vcpu, "read of CR%u exits", number);
	return ACTION_STOP;
}
