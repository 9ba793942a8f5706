/* SPDX-License-Identifier: MIT */
/*
 * What seeds from DIFF_WIDE on have besides: MSR areas, all kinds of events,
 * sleep, shadows of STI and MOV SS, traps that are pending, and more odd
 * values. See diff.h; what Bochs 2.7 does not check is left out here, too.
 */
#include "guests/diff/diff.h"

#define AREA_ENTRIES  4u
#define NOT_CANONICAL 0x0000900000000000ull
#define TYPE(type)    ((u32)(type) << 8)
#define HARDWARE      TYPE(EVENT_HARDWARE_EXCEPTION)
#define WITH_CODE     (HARDWARE | (u32)EVENT_HAS_ERROR_CODE)

/* --- MSR areas ------------------------------------------------------------ */

struct msr_entry {
	u32 index, reserved;
	u64 value;
};

static struct msr_entry *load_area, *store_area, *host_area;

static void take_pages(void)
{
	if (load_area)
		return;
	load_area = (struct msr_entry *)pages_take(1);
	store_area = (struct msr_entry *)pages_take(1);
	host_area = (struct msr_entry *)pages_take(1);
}

static u64 value_for(struct diff_random *r, u32 msr)
{
	static const u64 pats[] = {0x0007040600070406ull, 0,
				   0x0606060606060606ull};

	if (msr == MSR_PAT)
		return pats[diff_below(r, ARRAY_COUNT(pats))];
	return diff_random(r) >> 20;
}

static const struct msr_entry bad_entries[] = {
    {MSR_FS_BASE, 0, 0},
    {MSR_GS_BASE, 0, 0},
    {MSR_X2APIC_FIRST + 8, 0, 0},
    {MSR_LSTAR, 1, 0},
    {0x2345, 0, 0},
    {MSR_PAT, 0, 2},
    {MSR_LSTAR, 0, NOT_CANONICAL},
    {MSR_SYSENTER_EIP, 0, NOT_CANONICAL},
    {MSR_VMX_BASIC, 0, 0},
    {MSR_EFER, 0, BIT(1)},
};

/* Some good ones; now and then one that fails the entry. */
static void write_load_area(struct diff_random *r, u32 count)
{
	static const u32 msrs[] = {MSR_LSTAR,        MSR_KERNEL_GS_BASE,
				   MSR_SYSENTER_CS,  MSR_SYSENTER_ESP,
				   MSR_SYSENTER_EIP, MSR_PAT};

	for (u32 i = 0; i < count; i++) {
		u32 msr = msrs[diff_below(r, ARRAY_COUNT(msrs))];

		load_area[i] = (struct msr_entry){msr, 0, value_for(r, msr)};
	}
	if (diff_chance(r, 25))
		load_area[diff_below(r, count)] =
		    bad_entries[diff_below(r, ARRAY_COUNT(bad_entries))];
}

/* An exit that fails here is the end of the CPU: these are all good. */
static void write_exit_areas(struct diff_random *r)
{
	static const u32 stored[] = {MSR_LSTAR,       MSR_KERNEL_GS_BASE,
				     MSR_SYSENTER_CS, MSR_SYSENTER_ESP,
				     MSR_FS_BASE,     MSR_GS_BASE};

	for (u32 i = 0; i < AREA_ENTRIES; i++) {
		store_area[i] = (struct msr_entry){
		    stored[diff_below(r, ARRAY_COUNT(stored))], 0, 0};
		host_area[i] = (struct msr_entry){
		    diff_chance(r, 50) ? MSR_LSTAR : MSR_KERNEL_GS_BASE, 0,
		    diff_random(r) >> 20};
	}
}

static void write_areas(struct diff_case *c)
{
	struct diff_random *r = &c->random;

	take_pages();
	write_load_area(r, AREA_ENTRIES);
	write_exit_areas(r);
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDRESS, (u64)load_area);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT,
		diff_chance(r, 30) ? diff_below(r, AREA_ENTRIES + 1) : 0);
	vmwrite(VMCS_EXIT_MSR_STORE_ADDRESS, (u64)store_area);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, diff_below(r, AREA_ENTRIES + 1));
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDRESS, (u64)host_area);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, diff_below(r, AREA_ENTRIES + 1));
}

void diff_note_areas(struct diff_case *c)
{
	if (!diff_is_wide(c))
		return;
	for (u32 i = 0; i < AREA_ENTRIES; i++)
		diff_note(c, "stored", store_area[i].value);
}

/* --- Events --------------------------------------------------------------- */

static const u32 events[] = {
    0x20,
    0xff,
    TYPE(EVENT_NMI) | 2,
    HARDWARE | VECTOR_DB,
    HARDWARE | 7,
    HARDWARE | 16,
    WITH_CODE | 8,
    WITH_CODE | 10,
    WITH_CODE | 11,
    WITH_CODE | 12,
    WITH_CODE | 17,
    TYPE(EVENT_SOFTWARE_INTERRUPT) | 0x21,
    TYPE(EVENT_SOFTWARE_INTERRUPT) | VECTOR_BP,
    TYPE(EVENT_SOFTWARE_EXCEPTION) | 4,
    TYPE(EVENT_PRIVILEGED_SOFTWARE_EXCEPTION) | VECTOR_DB,
};

/* None of them is one. */
static const u32 no_events[] = {
    TYPE(1),
    TYPE(1) | 13,
    TYPE(EVENT_NMI) | 3,
    HARDWARE | 32,
    HARDWARE | 0xff,
    TYPE(EVENT_OTHER) | 1,
    TYPE(EVENT_OTHER) | 0x80,
};

static void write_event(struct diff_case *c)
{
	struct diff_random *r = &c->random;
	u32 event = diff_chance(r, 85)
			? events[diff_below(r, ARRAY_COUNT(events))]
			: no_events[diff_below(r, ARRAY_COUNT(no_events))];

	if (c->mode == DIFF_REAL)
		event &= ~(u32)EVENT_HAS_ERROR_CODE;
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, event | EVENT_VALID);
	/* A double fault and an alignment check have the code 0. */
	vmwrite(VMCS_ENTRY_EXCEPTION_ERROR_CODE,
		event == (WITH_CODE | 8) || event == (WITH_CODE | 17)
		    ? 0
		    : diff_below(r, 0x8000) |
			  (diff_chance(r, 4) ? BIT(20) : 0));
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH,
		diff_chance(r, 90) ? 1 + diff_below(r, 15) : 16);
}

/* --- What L2 is in -------------------------------------------------------- */

static bool has_event(u32 type)
{
	u64 info = vmread(VMCS_ENTRY_INTERRUPTION_INFO);

	return (info & EVENT_VALID) && event_type((u32)info) == type;
}

/* With what wakes it; in Bochs 2.7 windows alone do not always. */
static void put_to_sleep(void)
{
	bool wakes =
	    has_event(EVENT_NMI) || (has_event(EVENT_EXTERNAL_INTERRUPT) &&
				     vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF);

	if (wakes)
		vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_HLT);
}

/* An NMI behind STI has another qualification in Bochs 2.7: nmi-sti. */
static void shade(struct diff_random *r)
{
	bool sti = vmread(VMCS_GUEST_RFLAGS) & RFLAGS_IF && diff_chance(r, 50);

	if (has_event(EVENT_NMI))
		sti = false;

	vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
		sti ? BLOCKING_BY_STI : BLOCKING_BY_MOV_SS);
}

/*
 * No single steps: in Bochs 2.7 one is pending already when the instruction
 * violates EPT, and comes before it is done.
 */
static void choose_state(struct diff_case *c)
{
	struct diff_random *r = &c->random;
	u32 choice = diff_below(r, 100);

	if (choice < 8)
		put_to_sleep();
	else if (choice < 20)
		shade(r);
	else if (choice < 26)
		vmwrite(VMCS_GUEST_PENDING_DEBUG,
			PENDING_DEBUG_ENABLED | 1u << diff_below(r, 4));
}

/* --- Odd values ----------------------------------------------------------- */

static const struct diff_oddity oddities[] = {
    {VMCS_GUEST_ES_SELECTOR, BITS(2, 0)},
    {VMCS_GUEST_DS_SELECTOR, BITS(2, 0)},
    {VMCS_GUEST_GS_SELECTOR, BITS(2, 0)},
    {VMCS_GUEST_LDTR_SELECTOR, BITS(2, 0)},
    {VMCS_GUEST_ES_ACCESS_RIGHTS, BITS(17, 0)},
    {VMCS_GUEST_GS_ACCESS_RIGHTS, BITS(17, 0)},
    {VMCS_GUEST_LDTR_ACCESS_RIGHTS, BIT(16)},
    {VMCS_GUEST_ES_LIMIT, BITS(31, 0)},
    {VMCS_GUEST_SS_LIMIT, BITS(31, 0)},
    {VMCS_GUEST_DS_LIMIT, BITS(31, 0)},
    {VMCS_GUEST_FS_LIMIT, BITS(31, 0)},
    {VMCS_GUEST_LDTR_LIMIT, BITS(31, 0)},
    {VMCS_GUEST_ES_BASE, BITS(40, 28)},
    {VMCS_GUEST_DS_BASE, BITS(40, 28)},
    {VMCS_GUEST_CS_BASE, BITS(40, 32)},
    {VMCS_GUEST_GS_BASE, BITS(50, 40)},
    {VMCS_GUEST_LDTR_BASE, BITS(50, 40)},
    {VMCS_GUEST_IDTR_BASE, BITS(50, 40)},
    {VMCS_GUEST_PDPTE1, BITS(8, 0) | BITS(63, 50)},
    {VMCS_GUEST_PDPTE3, BITS(8, 0) | BITS(63, 50)},
    {VMCS_GUEST_CR0, CR0_CD | CR0_NW | BITS(15, 6) | BIT(17) | BITS(28, 19)},
    {VMCS_HOST_DS_SELECTOR, BITS(2, 0)},
    {VMCS_HOST_FS_SELECTOR, BITS(2, 0)},
    {VMCS_HOST_GS_SELECTOR, BITS(2, 0)},
    {VMCS_HOST_SYSENTER_EIP, BITS(50, 47)},
    {VMCS_HOST_GS_BASE, BITS(50, 47)},
    {VMCS_HOST_TR_BASE, BITS(50, 47)},
    {VMCS_HOST_IDTR_BASE, BITS(50, 47)},
    {VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMIS},
    {VMCS_PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW | PRIMARY_TPR_SHADOW},
    {VMCS_SECONDARY_CONTROLS,
     SECONDARY_EPT | SECONDARY_PML | SECONDARY_UNRESTRICTED_GUEST},
    {VMCS_EXIT_CONTROLS, EXIT_SAVE_PREEMPTION_TIMER},
    {VMCS_VIRTUAL_APIC_ADDRESS, BITS(50, 48) | BITS(3, 0)},
    {VMCS_IO_BITMAP_B, BITS(50, 48) | BITS(3, 0)},
    {VMCS_EPTP_LIST_ADDRESS, BITS(50, 48) | BITS(3, 0)},
    {VMCS_VPID, BIT(0)},
    {VMCS_VMFUNC_CONTROLS, BITS(40, 1)},
    {VMCS_ENTRY_MSR_LOAD_ADDRESS, BITS(50, 48) | BITS(3, 0)},
    {VMCS_EXIT_MSR_LOAD_ADDRESS, BITS(50, 48) | BITS(3, 0)},
    {VMCS_EXIT_MSR_STORE_ADDRESS, BITS(50, 48) | BITS(3, 0)},
};

void diff_widen(struct diff_case *c)
{
	struct diff_random *r = &c->random;

	if (!diff_is_wide(c))
		return;
	write_areas(c);
	if (diff_chance(r, 35))
		write_event(c);
	choose_state(c);
	if (diff_chance(r, 15))
		diff_turn_over(c, oddities, ARRAY_COUNT(oddities));
}
