/* SPDX-License-Identifier: MIT */
/* Moving a vCPU's architectural state between a value and its VMCS. */
#include "arch/x86/vmx/vcpu_state.h"
#include "arch/x86/vmx/control_registers.h"
#include "arch/x86/vmx/vcpu.h"
#include "arch/x86/vmx/vmx_insn.h"
#include "lib/string.h"
#include "lib/x86.h"

#define CR0_RESET          (CR0_CD | CR0_NW | CR0_ET)
#define RESET_RIP          0xfff0
#define RESET_CS           0xf000
#define RESET_BASE         0xffff0000ULL
#define REAL_LIMIT         0xffff
#define DR7_RESET          0x400
#define LIMIT_4G           0xffffffff

/* Distance between the fields of neighbouring segment registers. */
#define SEGMENT_FIELD_STEP 2
#define PDPTE_FIELD_STEP   2

static void set_data_segments(struct vcpu_state *state,
			      const struct segment_state *segment)
{
	static const enum segment_register data[] = {SREG_ES, SREG_SS, SREG_DS,
						     SREG_FS, SREG_GS};

	for (u32 i = 0; i < ARRAY_COUNT(data); i++)
		state->segments[data[i]] = *segment;
}

void vcpu_state_reset(struct vcpu_state *state)
{
	const struct segment_state data = {0, REAL_LIMIT, RIGHTS_DATA, 0};

	memset(state, 0, sizeof(*state));
	state->rip = RESET_RIP;
	state->rflags = RFLAGS_FIXED;
	state->cr0 = CR0_RESET;
	state->pat = PAT_RESET;
	state->dr7 = DR7_RESET;
	set_data_segments(state, &data);
	state->segments[SREG_CS] = (struct segment_state){
	    RESET_CS, REAL_LIMIT, RIGHTS_CODE, RESET_BASE};
	state->segments[SREG_LDTR] =
	    (struct segment_state){0, REAL_LIMIT, RIGHTS_LDT, 0};
	state->segments[SREG_TR] =
	    (struct segment_state){0, REAL_LIMIT, RIGHTS_TSS_BUSY, 0};
	state->gdtr.limit = REAL_LIMIT;
	state->idtr.limit = REAL_LIMIT;
}

void vcpu_state_start_up(struct vcpu_state *state, u8 page)
{
	vcpu_state_reset(state);
	state->rip = 0;
	state->segments[SREG_CS].selector = (u16)(page << 8);
	state->segments[SREG_CS].base = (u64)page << PAGE_SHIFT;
}

void vcpu_state_flat_protected(struct vcpu_state *state)
{
	const u32 flat = RIGHTS_32 | RIGHTS_4K_LIMIT;
	const struct segment_state data = {SELECTOR_DATA, LIMIT_4G,
					   RIGHTS_DATA | flat, 0};

	vcpu_state_reset(state);
	state->cr0 = CR0_PE | CR0_ET;
	set_data_segments(state, &data);
	state->segments[SREG_CS] = (struct segment_state){
	    SELECTOR_CODE, LIMIT_4G, RIGHTS_CODE | flat, 0};
}

static void write_segments(const struct vcpu_state *state)
{
	for (u32 i = 0; i < SREG_COUNT; i++) {
		const struct segment_state *segment = &state->segments[i];
		u32 step = i * SEGMENT_FIELD_STEP;

		vmcs_write(VMCS_GUEST_ES_SELECTOR + step, segment->selector);
		vmcs_write(VMCS_GUEST_ES_LIMIT + step, segment->limit);
		vmcs_write(VMCS_GUEST_ES_ACCESS_RIGHTS + step, segment->rights);
		vmcs_write(VMCS_GUEST_ES_BASE + step, segment->base);
	}
	vmcs_write(VMCS_GUEST_GDTR_BASE, state->gdtr.base);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, state->gdtr.limit);
	vmcs_write(VMCS_GUEST_IDTR_BASE, state->idtr.base);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, state->idtr.limit);
}

static void read_segments(struct vcpu_state *state)
{
	for (u32 i = 0; i < SREG_COUNT; i++) {
		u32 step = i * SEGMENT_FIELD_STEP;

		state->segments[i] = (struct segment_state){
		    (u16)vmcs_read(VMCS_GUEST_ES_SELECTOR + step),
		    (u32)vmcs_read(VMCS_GUEST_ES_LIMIT + step),
		    (u32)vmcs_read(VMCS_GUEST_ES_ACCESS_RIGHTS + step),
		    vmcs_read(VMCS_GUEST_ES_BASE + step),
		};
	}
	state->gdtr.base = vmcs_read(VMCS_GUEST_GDTR_BASE);
	state->gdtr.limit = (u32)vmcs_read(VMCS_GUEST_GDTR_LIMIT);
	state->idtr.base = vmcs_read(VMCS_GUEST_IDTR_BASE);
	state->idtr.limit = (u32)vmcs_read(VMCS_GUEST_IDTR_LIMIT);
}

void vcpu_state_write(struct vcpu *vcpu, const struct vcpu_state *state)
{
	memcpy(vcpu->registers.gpr, state->gpr, sizeof(state->gpr));
	insn_write_cr2(state->cr2);
	vmcs_write(VMCS_GUEST_RSP, state->gpr[REG_RSP]);
	vmcs_write(VMCS_GUEST_RIP, state->rip);
	vmcs_write(VMCS_GUEST_RFLAGS, state->rflags);
	vmcs_write(VMCS_GUEST_EFER, state->efer);
	control_registers_write_cr0(vcpu, state->cr0);
	control_registers_write_cr4(vcpu, state->cr4);
	vmcs_write(VMCS_GUEST_CR3, state->cr3);
	vmcs_write(VMCS_GUEST_PAT, state->pat);
	write_segments(state);
	vmcs_write(VMCS_GUEST_DR7, state->dr7);
	vmcs_write(VMCS_GUEST_DEBUGCTL, state->debugctl);
	vmcs_write(VMCS_GUEST_SYSENTER_CS, state->sysenter_cs);
	vmcs_write(VMCS_GUEST_SYSENTER_ESP, state->sysenter_esp);
	vmcs_write(VMCS_GUEST_SYSENTER_EIP, state->sysenter_eip);
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, state->interruptibility);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, state->pending_debug);
	for (u32 i = 0; i < ARRAY_COUNT(state->pdpte); i++)
		vmcs_write(VMCS_GUEST_PDPTE0 + i * PDPTE_FIELD_STEP,
			   state->pdpte[i]);
}

void vcpu_state_read(const struct vcpu *vcpu, struct vcpu_state *state)
{
	memcpy(state->gpr, vcpu->registers.gpr, sizeof(state->gpr));
	state->cr2 = insn_read_cr2();
	state->gpr[REG_RSP] = vmcs_read(VMCS_GUEST_RSP);
	state->rip = vmcs_read(VMCS_GUEST_RIP);
	state->rflags = vmcs_read(VMCS_GUEST_RFLAGS);
	state->efer = vmcs_read(VMCS_GUEST_EFER);
	state->cr0 = control_registers_read_cr0();
	state->cr4 = control_registers_read_cr4();
	state->cr3 = vmcs_read(VMCS_GUEST_CR3);
	state->pat = vmcs_read(VMCS_GUEST_PAT);
	read_segments(state);
	state->dr7 = vmcs_read(VMCS_GUEST_DR7);
	state->debugctl = vmcs_read(VMCS_GUEST_DEBUGCTL);
	state->sysenter_cs = vmcs_read(VMCS_GUEST_SYSENTER_CS);
	state->sysenter_esp = vmcs_read(VMCS_GUEST_SYSENTER_ESP);
	state->sysenter_eip = vmcs_read(VMCS_GUEST_SYSENTER_EIP);
	state->interruptibility = (u32)vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
	state->pending_debug = vmcs_read(VMCS_GUEST_PENDING_DEBUG);
	for (u32 i = 0; i < ARRAY_COUNT(state->pdpte); i++)
		state->pdpte[i] =
		    vmcs_read(VMCS_GUEST_PDPTE0 + i * PDPTE_FIELD_STEP);
}
