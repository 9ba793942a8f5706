/* SPDX-License-Identifier: MIT */
/* Whose VM exit is it? One rule for each reason. */
#include "nested/owner.h"
#include "lib/x86.h"
#include "nested/checks.h"

/* SDM vol. 3, "Exit Qualification for Control-Register Accesses". */
/* The guest interrupt status, and the virtual-APIC page. */
#define STATUS_REQUESTED  BITS(7, 0)
#define STATUS_IN_SERVICE BITS(15, 8)
#define PRIORITY_CLASS    16u
#define APIC_TPR          0x80
#define THRESHOLD         BITS(3, 0)

#define CR_NUMBER         BITS(3, 0)
#define CR_TYPE           BITS(5, 4)
#define CR_REGISTER       BITS(11, 8)
#define CR_LMSW           BITS(31, 16)
#define LMSW_ANY          BITS(3, 1) /* PE can be set, not cleared */

/* SDM vol. 3, "Exit Qualification for I/O Instructions". */
#define IO_SIZE           BITS(2, 0)
#define IO_PORT           BITS(31, 16)
#define IO_PORTS_HALF     0x8000u

/* SDM vol. 3, "MSR-Bitmap Address". */
#define MSR_HALF_BYTES    1024u
#define MSR_WRITE_BYTES   2048u
#define MSR_HIGH_FIRST    0xc0000000u
#define MSR_HALF_COUNT    0x2000u

enum cr_access { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW_TYPE };

typedef bool judge(const struct nested_l2 *l2, const struct nested_exit *exit);

static bool has_primary(const struct nested_l2 *l2, u64 bit)
{
	return (l2->v->primary_controls & bit) != 0;
}

static bool has_secondary(const struct nested_l2 *l2, u64 bit)
{
	return (nested_secondary_controls(l2->v) & bit) != 0;
}

/* Where nobody answers, ones are read: it exits. */
static bool bit_is_set(const struct nested_l2 *l2, u64 bitmap, u64 bit)
{
	u8 bits;

	if (guest_mem_read_u8(l2->mem, gpa(bitmap + bit / 8), &bits) != OK)
		return true;
	return bits >> (bit % 8) & 1;
}

/*
 * SDM vol. 3, "Exception Bitmap": for page faults the bit is inverted unless
 * the error code is what mask and match say.
 */
bool nested_exception_is_l1s(const struct vmcs12 *v, u32 vector, u32 error_code)
{
	bool wanted = v->exception_bitmap >> (vector & 31) & 1;

	if (vector == EXCEPTION_PF && (error_code & v->page_fault_error_mask) !=
					  v->page_fault_error_match)
		return !wanted;
	return wanted;
}

static bool of_exception(const struct nested_l2 *l2,
			 const struct nested_exit *exit)
{
	u32 vector = (u32)bits_get(exit->interruption, EVENT_VECTOR);

	if (event_type(exit->interruption) == EVENT_NMI ||
	    vector == EXCEPTION_MC)
		return false;
	return nested_exception_is_l1s(l2->v, vector, exit->error_code);
}

/* A bit that L1 owns would get another value than L2 reads. */
static bool changes_masked(u64 value, u64 mask, u64 shadow)
{
	return ((value ^ shadow) & mask) != 0;
}

static bool is_cr3_target(const struct vmcs12 *v, u64 value)
{
	for (u32 i = 0;
	     i < v->cr3_target_count && i < ARRAY_COUNT(v->cr3_target); i++)
		if (v->cr3_target[i] == value)
			return true;
	return false;
}

static bool of_mov_to_cr(const struct nested_l2 *l2, u32 number, u64 value)
{
	const struct vmcs12 *v = l2->v;

	switch (number) {
	case 0:
		return changes_masked(value, v->cr0_mask, v->cr0_shadow);
	case 3:
		return has_primary(l2, PRIMARY_CR3_LOAD) &&
		       !is_cr3_target(v, value);
	case 4:
		return changes_masked(value, v->cr4_mask, v->cr4_shadow);
	default:
		return has_primary(l2, PRIMARY_CR8_LOAD);
	}
}

static bool of_lmsw(const struct vmcs12 *v, u64 word)
{
	return changes_masked(word, v->cr0_mask & LMSW_ANY, v->cr0_shadow) ||
	       (v->cr0_mask & word & ~v->cr0_shadow & CR0_PE);
}

static bool of_control_register(const struct nested_l2 *l2,
				const struct nested_exit *exit)
{
	u64 q = exit->qualification;
	u32 number = (u32)bits_get(q, CR_NUMBER);

	switch ((enum cr_access)bits_get(q, CR_TYPE)) {
	case CR_MOV_TO:
		return of_mov_to_cr(l2, number,
				    l2->gpr[bits_get(q, CR_REGISTER)]);
	case CR_MOV_FROM:
		return has_primary(l2, number == 3 ? PRIMARY_CR3_STORE
						   : PRIMARY_CR8_STORE);
	case CR_CLTS:
		return (l2->v->cr0_mask & l2->v->cr0_shadow & CR0_TS) != 0;
	case CR_LMSW_TYPE:
		break;
	}
	return of_lmsw(l2->v, bits_get(q, CR_LMSW));
}

/* SDM vol. 3, "I/O-Bitmap Addresses"; an access that wraps around exits. */
static bool of_io(const struct nested_l2 *l2, const struct nested_exit *exit)
{
	u32 port = (u32)bits_get(exit->qualification, IO_PORT);
	u32 bytes = (u32)bits_get(exit->qualification, IO_SIZE) + 1;

	if (!has_primary(l2, PRIMARY_IO_BITMAPS))
		return has_primary(l2, PRIMARY_ALL_IO);
	if (port + bytes > 2 * IO_PORTS_HALF)
		return true;
	for (u32 i = port; i < port + bytes; i++)
		if (bit_is_set(l2,
			       i < IO_PORTS_HALF ? l2->v->io_bitmap_a
						 : l2->v->io_bitmap_b,
			       i % IO_PORTS_HALF))
			return true;
	return false;
}

bool nested_msr_is_l1s(const struct nested_l2 *l2, u32 msr,
		       enum nested_msr_access access)
{
	u64 bitmap = l2->v->msr_bitmap;
	u32 low = msr & ~MSR_HIGH_FIRST;

	if (!has_primary(l2, PRIMARY_MSR_BITMAPS) || low >= MSR_HALF_COUNT ||
	    (msr != low && msr - low != MSR_HIGH_FIRST))
		return true;
	if (access == NESTED_WRMSR)
		bitmap += MSR_WRITE_BYTES;
	if (msr != low)
		bitmap += MSR_HALF_BYTES;
	return bit_is_set(l2, bitmap, low);
}

static bool of_rdmsr(const struct nested_l2 *l2, const struct nested_exit *exit)
{
	(void)exit;
	return nested_msr_is_l1s(l2, low32(l2->gpr[1]), NESTED_RDMSR);
}

static bool of_wrmsr(const struct nested_l2 *l2, const struct nested_exit *exit)
{
	(void)exit;
	return nested_msr_is_l1s(l2, low32(l2->gpr[1]), NESTED_WRMSR);
}

/* Either control makes PAUSE exit. */
static bool of_pause(const struct nested_l2 *l2, const struct nested_exit *exit)
{
	(void)exit;
	return has_primary(l2, PRIMARY_PAUSE) ||
	       has_secondary(l2, SECONDARY_PAUSE_LOOP);
}

/*
 * Of the VM exits that a bit of the controls asks for, the bit; `always` for
 * those that need none, and those that happen only if L1 has asked for what
 * leads to them. What is not here is Umbra's.
 */
static const struct {
	u32 primary, secondary;
	bool always;
	judge *judge;
} rules[EXIT_REASON_COUNT] = {
    [EXIT_EXCEPTION_OR_NMI] = {.judge = of_exception},
    [EXIT_TRIPLE_FAULT] = {.always = true},
    [EXIT_INIT] = {.always = true},
    [EXIT_SIPI] = {.always = true},
    [EXIT_INTERRUPT_WINDOW] = {.primary = PRIMARY_INTERRUPT_WINDOW},
    [EXIT_NMI_WINDOW] = {.primary = PRIMARY_NMI_WINDOW},
    [EXIT_TASK_SWITCH] = {.always = true},
    [EXIT_CPUID] = {.always = true},
    [EXIT_GETSEC] = {.always = true},
    [EXIT_HLT] = {.primary = PRIMARY_HLT},
    [EXIT_INVD] = {.always = true},
    [EXIT_INVLPG] = {.primary = PRIMARY_INVLPG},
    [EXIT_RDPMC] = {.primary = PRIMARY_RDPMC},
    [EXIT_RDTSC] = {.primary = PRIMARY_RDTSC},
    [EXIT_VMCALL] = {.always = true},
    [EXIT_VMCLEAR] = {.always = true},
    [EXIT_VMLAUNCH] = {.always = true},
    [EXIT_VMPTRLD] = {.always = true},
    [EXIT_VMPTRST] = {.always = true},
    [EXIT_VMREAD] = {.always = true},
    [EXIT_VMRESUME] = {.always = true},
    [EXIT_VMWRITE] = {.always = true},
    [EXIT_VMXOFF] = {.always = true},
    [EXIT_VMXON] = {.always = true},
    [EXIT_CONTROL_REGISTER] = {.judge = of_control_register},
    [EXIT_DEBUG_REGISTER] = {.primary = (u32)PRIMARY_MOV_DR},
    [EXIT_IO] = {.judge = of_io},
    [EXIT_RDMSR] = {.judge = of_rdmsr},
    [EXIT_WRMSR] = {.judge = of_wrmsr},
    [EXIT_MWAIT] = {.primary = PRIMARY_MWAIT},
    [EXIT_MONITOR_TRAP] = {.primary = PRIMARY_MONITOR_TRAP},
    [EXIT_MONITOR] = {.primary = PRIMARY_MONITOR},
    [EXIT_PAUSE] = {.judge = of_pause},
    [EXIT_TPR_BELOW_THRESHOLD] = {.primary = PRIMARY_TPR_SHADOW},
    [EXIT_APIC_ACCESS] = {.secondary = SECONDARY_APIC_ACCESSES},
    [EXIT_VIRTUALIZED_EOI] = {.secondary = SECONDARY_INTERRUPT_DELIVERY},
    [EXIT_GDTR_IDTR] = {.secondary = SECONDARY_DESCRIPTOR_TABLES},
    [EXIT_LDTR_TR] = {.secondary = SECONDARY_DESCRIPTOR_TABLES},
    [EXIT_INVEPT] = {.always = true},
    [EXIT_RDTSCP] = {.primary = PRIMARY_RDTSC},
    [EXIT_INVVPID] = {.always = true},
    [EXIT_WBINVD] = {.secondary = SECONDARY_WBINVD},
    [EXIT_XSETBV] = {.always = true},
    [EXIT_APIC_WRITE] = {.always = true},
    [EXIT_RDRAND] = {.secondary = SECONDARY_RDRAND},
    [EXIT_INVPCID] = {.primary = PRIMARY_INVLPG},
    [EXIT_VMFUNC] = {.secondary = SECONDARY_VMFUNC},
    [EXIT_RDSEED] = {.secondary = SECONDARY_RDSEED},
    [EXIT_XSAVES] = {.secondary = SECONDARY_XSAVES},
    [EXIT_XRSTORS] = {.secondary = SECONDARY_XSAVES},
};

bool nested_exit_is_l1s(const struct nested_l2 *l2,
			const struct nested_exit *exit)
{
	u32 reason = exit->reason & (u32)EXIT_REASON_BASIC;

	/* The CPU has refused what Umbra's checks let pass: L1 hears of it. */
	if (exit->reason & EXIT_REASON_ENTRY_FAILED)
		return reason != EXIT_ENTRY_MACHINE_CHECK;
	if (reason >= EXIT_REASON_COUNT)
		return false;
	if (rules[reason].judge)
		return rules[reason].judge(l2, exit);
	return rules[reason].always || has_primary(l2, rules[reason].primary) ||
	       has_secondary(l2, rules[reason].secondary);
}

static bool tpr_is_below(const struct nested_l2 *l2)
{
	u8 tpr;

	if (!has_primary(l2, PRIMARY_TPR_SHADOW) ||
	    has_secondary(l2, SECONDARY_INTERRUPT_DELIVERY) ||
	    guest_mem_read_u8(l2->mem,
			      gpa(l2->v->virtual_apic_address + APIC_TPR),
			      &tpr) != OK)
		return false;
	return tpr / PRIORITY_CLASS < bits_get(l2->v->tpr_threshold, THRESHOLD);
}

bool nested_tpr_is_below(const struct nested_l2 *l2)
{
	return has_secondary(l2, SECONDARY_APIC_ACCESSES) && tpr_is_below(l2);
}

bool nested_tpr_is_refused(const struct nested_l2 *l2)
{
	return !has_secondary(l2, SECONDARY_APIC_ACCESSES) && tpr_is_below(l2);
}

/* SDM vol. 3, "PPR Virtualization", "Evaluation of Pending Virtual Interrupts".
 */
bool nested_virtual_interrupt_waits(const struct nested_l2 *l2, u16 status)
{
	u32 requested = (u32)bits_get(status, STATUS_REQUESTED);
	u32 in_service = (u32)bits_get(status, STATUS_IN_SERVICE);
	u32 class;
	u8 tpr;

	if (!(nested_secondary_controls(l2->v) &
	      SECONDARY_INTERRUPT_DELIVERY) ||
	    guest_mem_read_u8(l2->mem,
			      gpa(l2->v->virtual_apic_address + APIC_TPR),
			      &tpr) != OK)
		return false;
	class = (tpr > in_service ? tpr : in_service) / PRIORITY_CLASS;
	return requested / PRIORITY_CLASS > class;
}
