/* SPDX-License-Identifier: MIT */
/*
 * The architectural state of a vCPU that a VMCS holds, as a value.
 *
 * For setting up a vCPU, for dumps and for everything that is not hot; exit
 * handlers touch single fields instead.
 */
#ifndef ARCH_X86_VMX_VCPU_STATE_H
#define ARCH_X86_VMX_VCPU_STATE_H

#include "lib/bits.h"
#include "lib/types.h"
#include "lib/vmx.h"

struct vcpu;

enum segment_register {
	SREG_ES,
	SREG_CS,
	SREG_SS,
	SREG_DS,
	SREG_FS,
	SREG_GS,
	SREG_LDTR,
	SREG_TR,
	SREG_COUNT,
};

struct segment_state {
	u16 selector;
	u32 limit;
	u32 rights;
	u64 base;
};

struct descriptor_table {
	u64 base;
	u32 limit;
};

struct vcpu_state {
	u64 gpr[16]; /* all of them, RSP too */
	u64 rip, rflags;
	u64 cr0, cr2, cr3, cr4; /* as the guest reads them */
	u64 efer, pat;
	struct segment_state segments[SREG_COUNT];
	struct descriptor_table gdtr, idtr;
	u64 dr7, debugctl;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u32 interruptibility;
	u64 pending_debug;
	u64 pdpte[4]; /* of PAE paging */
};

/* State after RESET or INIT (SDM vol. 3, "Processor State After Reset"). */
void vcpu_state_reset(struct vcpu_state *state);

/* Real mode at the start of the page that a start-up IPI names. */
void vcpu_state_start_up(struct vcpu_state *state, u8 page);

/* 32-bit protected mode, flat segments, paging off: multiboot's entry. */
void vcpu_state_flat_protected(struct vcpu_state *state);

/* The vCPU must be loaded on this CPU. */
void vcpu_state_write(struct vcpu *vcpu, const struct vcpu_state *state);
void vcpu_state_read(const struct vcpu *vcpu, struct vcpu_state *state);

#endif
