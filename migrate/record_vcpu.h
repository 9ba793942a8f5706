/* SPDX-License-Identifier: MIT */
/*
 * One vCPU in the state record: registers, FPU, local APIC.
 *
 * Everything is as the guest sees it: shadows, masks, fixed bits and tables are
 * made anew where it is put. What is refused is what the manual lets no CPU be
 * in (SDM vol. 3, "Checking and Loading Guest State": the same rules by which a
 * guest hypervisor's VM entries are judged), and what a WRMSR or XRSTOR of
 * Umbra's own would fault on.
 */
#ifndef MIGRATE_RECORD_VCPU_H
#define MIGRATE_RECORD_VCPU_H

#include "devices/lapic.h"
#include "devices/mtrr.h"
#include "migrate/record.h"

#define RECORD_SEGMENTS    8 /* ES CS SS DS FS GS LDTR TR */
#define RECORD_TABLES      2 /* GDTR IDTR */
#define RECORD_XSAVE_BYTES 4096

/* Bits that these have in a guest's CPU. */
#define RECORD_EFER        (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

enum record_activity {
	RECORD_ACTIVE,
	RECORD_HALTED,
	RECORD_WAIT_FOR_SIPI,
};

struct record_vcpu {
	u32 index;
	u32 activity;
	u64 gpr[16]; /* in the order of encodings */
	u64 rip, rflags;
	u16 selector[RECORD_SEGMENTS];
	u64 base[RECORD_SEGMENTS];
	u32 limit[RECORD_SEGMENTS];
	u32 rights[RECORD_SEGMENTS];
	u64 table_base[RECORD_TABLES];
	u32 table_limit[RECORD_TABLES];
	u64 cr0, cr2, cr3, cr4, efer, xcr0, xss;
	u64 pdpte[4];
	u64 dr[4], dr6, dr7, debugctl, pending_debug;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 star, lstar, cstar, fmask, kernel_gs_base, tsc_aux;
	u64 pat, misc_enable, tsc_adjust, spec_ctrl, feature_control;
	struct mtrr mtrr;
	u32 interruptibility;
	u32 event, event_error_code, event_instruction_length;
	/* In service already, but an exception came first; 0 or as `event`. */
	u32 postponed_interrupt;
	u8 nmi_pending;
	u8 halted_for_good;
};

/* What the machine on which it is put lets a guest have. */
struct record_host {
	u64 cr4;       /* bits that the guest may set */
	u64 xcr0;      /* as the record's CPUID has it */
	u64 spec_ctrl; /* bits that IA32_SPEC_CTRL has for the guest */
	u32 physical_bits;
	u32 mxcsr; /* bits that MXCSR has */
	u32 fpu_bytes;
};

struct record_fpu {
	u8 image[RECORD_XSAVE_BYTES]; /* as XSAVE writes it, not compacted */
};

void record_put_vcpu(struct wire_writer *writer,
		     const struct record_vcpu *vcpu);
void record_get_vcpu(struct record_reader *reader,
		     const struct record_host *host, struct record_vcpu *vcpu);

/* What no instruction reads back is taken out of the image before. */
void record_put_fpu(struct wire_writer *writer, struct record_fpu *fpu,
		    const struct record_host *host);
void record_get_fpu(struct record_reader *reader,
		    const struct record_host *host, struct record_fpu *fpu);

void record_put_lapic(struct wire_writer *writer,
		      const struct lapic_state *lapic);
void record_get_lapic(struct record_reader *reader, struct lapic_state *lapic);

#endif
