/* SPDX-License-Identifier: MIT */
/*
 * Speculative execution: what a CPU needs so that no guest reads through it
 * what belongs to Umbra or to another guest.
 *
 *	weakness	what is done				unless
 *	L1TF		L1D flushed at each entry		RDCL_NO, or
 *								SKIP_L1DFL
 *	MDS, TAA, RFDS	VERW at each entry			MDS_NO, TAA_NO,
 *								RFDS_NO
 *	branch targets	enhanced IBRS, or IBRS at each exit and a filled
 *			return stack; IBPB between guests
 *	PBRSB		a fence at each exit			PBRSB_NO
 *	BHI		BHI_DIS_S, or history cleared at exit	BHI_NO
 *
 * MMIO stale data needs nothing here: no guest reaches a device's registers.
 *
 * Names are those of IA32_ARCH_CAPABILITIES (SDM vol. 4). A CPU without that
 * MSR is judged by its model.
 *
 * Pure: numbers in, a plan out.
 */
#ifndef ARCH_X86_VMX_MITIGATION_H
#define ARCH_X86_VMX_MITIGATION_H

#include "lib/bits.h"
#include "lib/types.h"

/* CPUID leaf 7, subleaf 0. */
#define LEAF7_EBX_RTM               BIT(11)
#define LEAF7_EDX_MD_CLEAR          BIT(10)
#define LEAF7_EDX_IBRS              BIT(26) /* with IBPB */
#define LEAF7_EDX_STIBP             BIT(27)
#define LEAF7_EDX_L1D_FLUSH         BIT(28)
#define LEAF7_EDX_ARCH_CAPABILITIES BIT(29)
#define LEAF7_EDX_SSBD              BIT(31)
/* Subleaf 2. */
#define LEAF7_2_EDX_BHI_CTRL        BIT(4)

#define ARCH_RDCL_NO                BIT(0)
#define ARCH_IBRS_ALL               BIT(1)
#define ARCH_RSBA                   BIT(2)
#define ARCH_SKIP_L1DFL             BIT(3)
#define ARCH_SSB_NO                 BIT(4)
#define ARCH_MDS_NO                 BIT(5)
#define ARCH_PSCHANGE_MC_NO         BIT(6)
#define ARCH_TSX_CTRL               BIT(7)
#define ARCH_TAA_NO                 BIT(8)
#define ARCH_SBDR_SSDP_NO           BIT(13)
#define ARCH_FBSDP_NO               BIT(14)
#define ARCH_PSDP_NO                BIT(15)
#define ARCH_FB_CLEAR               BIT(17)
#define ARCH_RRSBA                  BIT(19)
#define ARCH_BHI_NO                 BIT(20)
#define ARCH_PBRSB_NO               BIT(24)
#define ARCH_GDS_NO                 BIT(26)
#define ARCH_RFDS_NO                BIT(27)
#define ARCH_RFDS_CLEAR             BIT(28)

#define SPEC_CTRL_IBRS              BIT(0)
#define SPEC_CTRL_STIBP             BIT(1)
#define SPEC_CTRL_SSBD              BIT(2)
#define SPEC_CTRL_BHI_DIS_S         BIT(10)

#define PRED_CMD_IBPB               BIT(0)
#define FLUSH_CMD_L1D               BIT(0)

struct mitigation_cpu {
	u32 family, model;
	u32 leaf7_ebx, leaf7_edx, leaf7_2_edx;
	u64 arch_capabilities; /* 0 where CPUID does not show the MSR */
	bool hyper_threads;    /* a core has two of them */
};

enum mitigation_mode { MITIGATION_AUTO, MITIGATION_OFF };

/* At entry and at exit; enter.asm does them, in this order. */
#define ENTRY_SPEC_CTRL      BIT(0) /* the guest's value goes in */
#define ENTRY_FLUSH_L1D      BIT(1)
#define ENTRY_VERW           BIT(2)

#define EXIT_FILL_RSB        BIT(0)
#define EXIT_GUARD_RETURN    BIT(1) /* one call before the fence */
#define EXIT_READ_SPEC_CTRL  BIT(2) /* the guest may have changed it */
#define EXIT_WRITE_SPEC_CTRL BIT(3) /* Umbra's value comes back */
#define EXIT_CLEAR_HISTORY   BIT(4)

/* Weaknesses for which this CPU offers no help: its microcode is too old. */
#define WITHOUT_L1TF         BIT(0)
#define WITHOUT_BUFFERS      BIT(1) /* MDS, TAA or RFDS */
#define WITHOUT_BRANCHES     BIT(2)

struct mitigation_plan {
	u32 entry; /* ENTRY_* */
	u32 exit;  /* EXIT_* */
	bool barrier_between_guests;
	u64 host_spec_ctrl; /* while Umbra runs */
	u32 without;        /* WITHOUT_* */
	bool siblings_leak; /* guests on two hyper-threads see each other */
};

void mitigation_choose(const struct mitigation_cpu *cpu,
		       enum mitigation_mode mode, struct mitigation_plan *plan);

/* In words, "VERW at entry, IBPB between guests"; "nothing" if that is it. */
void mitigation_describe(const struct mitigation_plan *plan, char *text,
			 size_t size);

/* The same for `without`; "" if nothing is missing. */
void mitigation_describe_missing(const struct mitigation_plan *plan, char *text,
				 size_t size);

/* Of IA32_ARCH_CAPABILITIES, what a guest is told: that which is true of its
 * own CPU, and none of the switches that it does not get. */
u64 mitigation_guest_capabilities(u64 arch_capabilities);

/* Bits of IA32_SPEC_CTRL that a guest whose leaf 7 has this EDX may set. */
u64 mitigation_guest_spec_ctrl(u32 leaf7_edx);

#endif
