/* SPDX-License-Identifier: MIT */
/*
 * Controls and fields from a seed: see diff.h.
 *
 * What is chosen exists on every CPU that has PML, and under Umbra; a bit that
 * one of the two machines lacks would only say so. Left out, too, is what Bochs
 * 2.7 is known not to check (docs/TESTING.md): there the manual judges, in
 * guests/vmx/.
 */
#include "guests/diff/diff.h"

/* Long enough that only an L2 that never ends meets it. */
#define GUARD_TICKS 2000000u

#define CODE_64     (RIGHTS_CODE | RIGHTS_LONG | RIGHTS_4K_LIMIT)
#define CODE_32     (RIGHTS_CODE | RIGHTS_32 | RIGHTS_4K_LIMIT)
#define DATA_32     (RIGHTS_DATA | RIGHTS_32 | RIGHTS_4K_LIMIT)

#define ALWAYS_PRIMARY \
	(PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_MONITOR | PRIMARY_RDTSC)
#define SOMETIMES_PRIMARY                                                      \
	(PRIMARY_HLT | PRIMARY_INVLPG | PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | \
	 PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE | PRIMARY_MOV_DR |               \
	 PRIMARY_ALL_IO | PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS |           \
	 PRIMARY_PAUSE | PRIMARY_TSC_OFFSETTING)
#define ALWAYS_SECONDARY (SECONDARY_RDRAND | SECONDARY_RDSEED)
#define SOMETIMES_SECONDARY                                                \
	(SECONDARY_DESCRIPTOR_TABLES | SECONDARY_RDTSCP | SECONDARY_VPID | \
	 SECONDARY_WBINVD | SECONDARY_INVPCID | SECONDARY_UNRESTRICTED_GUEST)
#define SOMETIMES_EXIT                                               \
	(EXIT_SAVE_DEBUG_CONTROLS | EXIT_SAVE_PAT | EXIT_SAVE_EFER | \
	 EXIT_ACKNOWLEDGE_INTERRUPT)
#define SOMETIMES_ENTRY (ENTRY_LOAD_DEBUG_CONTROLS | ENTRY_LOAD_PAT)

static u64 io_bitmaps, msr_bitmap, log_page, virtual_apic, eptp_list;

void diff_choose_controls(struct diff_case *c)
{
	struct diff_random *r = &c->random;
	struct l2_controls *w = &c->controls;

	c->mode = diff_chance(r, diff_is_wide(c) ? 30 : 60)
		      ? DIFF_LONG
		      : (enum diff_mode)diff_below(
			    r, diff_is_wide(c) ? DIFF_WIDE_MODES : DIFF_MODES);
	w->pin = PIN_PREEMPTION_TIMER |
		 diff_some_bits(r, PIN_EXTERNAL_INTERRUPT | PIN_NMI);
	if (w->pin & PIN_NMI && diff_chance(r, 50))
		w->pin |= PIN_VIRTUAL_NMIS;
	w->primary = ALWAYS_PRIMARY | diff_some_bits(r, SOMETIMES_PRIMARY);
	if (diff_chance(r, 10))
		w->primary |= PRIMARY_INTERRUPT_WINDOW;
	if (w->pin & PIN_VIRTUAL_NMIS && diff_chance(r, 20))
		w->primary |= PRIMARY_NMI_WINDOW;
	if (diff_chance(r, 15))
		w->primary |= PRIMARY_TPR_SHADOW;
	w->secondary =
	    ALWAYS_SECONDARY | diff_some_bits(r, SOMETIMES_SECONDARY);
	if (c->mode == DIFF_UNPAGED || c->mode == DIFF_REAL)
		w->secondary |= SECONDARY_UNRESTRICTED_GUEST;
	if (diff_chance(r, 80) || w->secondary & SECONDARY_UNRESTRICTED_GUEST)
		w->secondary |= SECONDARY_EPT;
	if (w->secondary & SECONDARY_EPT && diff_chance(r, 25))
		w->secondary |= SECONDARY_PML;
	if (w->secondary & SECONDARY_EPT && diff_chance(r, 15))
		w->secondary |= SECONDARY_VMFUNC;
	w->exit =
	    EXIT_LOAD_EFER | EXIT_LOAD_PAT | diff_some_bits(r, SOMETIMES_EXIT);
	w->entry = ENTRY_LOAD_EFER | diff_some_bits(r, SOMETIMES_ENTRY);
}

/* --- The VMCS ------------------------------------------------------------- */

static void take_pages(void)
{
	if (io_bitmaps)
		return;
	io_bitmaps = pages_take(2);
	msr_bitmap = pages_take(1);
	log_page = pages_take(1);
	virtual_apic = pages_take(1);
	eptp_list = pages_take(1);
}

static void write_pages(struct diff_case *c)
{
	struct diff_random *r = &c->random;

	take_pages();
	memset((void *)io_bitmaps, diff_chance(r, 50) ? 0xff : 0,
	       2 * PAGE_BYTES);
	((u8 *)io_bitmaps)[0x80 / 8] = (u8)diff_random(r);
	for (u32 i = 0; i < PAGE_BYTES; i++)
		((u8 *)msr_bitmap)[i] =
		    i % 1024 == 0x10 / 8 ? 0xff : (u8)diff_random(r);
	memset((void *)log_page, 0, PAGE_BYTES);
	memset((void *)virtual_apic, 0, PAGE_BYTES);
	((u8 *)virtual_apic)[0x80] = 0x50;
	((u64 *)eptp_list)[0] = c->controls.ept_pointer;
	((u64 *)eptp_list)[1] = diff_random(r);
}

static void write_bitmaps(struct diff_case *c)
{
	struct diff_random *r = &c->random;

	write_pages(c);
	vmwrite(VMCS_IO_BITMAP_A, io_bitmaps);
	vmwrite(VMCS_IO_BITMAP_B, io_bitmaps + PAGE_BYTES);
	vmwrite(VMCS_MSR_BITMAP, msr_bitmap);
	if (c->controls.secondary & SECONDARY_PML) {
		vmwrite(VMCS_PML_ADDRESS, log_page);
		vmwrite(VMCS_PML_INDEX, 511);
	}
	if (c->controls.primary & PRIMARY_TPR_SHADOW) {
		vmwrite(VMCS_VIRTUAL_APIC_ADDRESS, virtual_apic);
		vmwrite(VMCS_TPR_THRESHOLD, diff_below(r, 6));
	}
	if (c->controls.secondary & SECONDARY_VMFUNC) {
		vmwrite(VMCS_VMFUNC_CONTROLS, VMFUNC_EPTP_SWITCHING);
		vmwrite(VMCS_EPTP_LIST_ADDRESS, eptp_list);
	}
}

static void write_masks(struct diff_case *c)
{
	struct diff_random *r = &c->random;
	u64 cr0_bits = CR0_WP | CR0_AM | CR0_TS | CR0_MP | CR0_EM | CR0_NE |
		       CR0_CD | CR0_NW;
	u64 cr4_bits = CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_VMXE;

	if (diff_chance(r, 60))
		vmwrite(VMCS_EXCEPTION_BITMAP, diff_random(r) & 0xffffffff);
	vmwrite(VMCS_PAGE_FAULT_ERROR_MASK, diff_below(r, 4));
	vmwrite(VMCS_PAGE_FAULT_ERROR_MATCH, diff_below(r, 4));
	vmwrite(VMCS_CR0_MASK, diff_some_bits(r, cr0_bits));
	vmwrite(VMCS_CR0_SHADOW, diff_some_bits(r, cr0_bits) | CR0_PE);
	vmwrite(VMCS_CR4_MASK, diff_some_bits(r, cr4_bits));
	vmwrite(VMCS_CR4_SHADOW, diff_some_bits(r, cr4_bits));
	vmwrite(VMCS_CR3_TARGET_COUNT, diff_below(r, 5));
	vmwrite(VMCS_CR3_TARGET_0 + 2 * diff_below(r, 4),
		DIFF_WORLD +
		    (diff_uses_pae(c) ? DIFF_PAE_POINTERS : DIFF_PML4));
}

#define USER_LEVEL 0x60u /* DPL 3 */
#define V86_RIGHTS 0xf3u
#define IOPL       BITS(13, 12)

static void write_segments(const struct diff_case *c)
{
	static const struct {
		u16 code, data;
		u32 code_rights, data_rights;
	} of[DIFF_WIDE_MODES] = {
	    [DIFF_LONG] = {0x08, 0x10, CODE_64, DATA_32},
	    [DIFF_PAE] = {0x08, 0x10, CODE_32, DATA_32},
	    [DIFF_UNPAGED] = {0x08, 0x10, CODE_32, DATA_32},
	    [DIFF_REAL] = {0x08, 0x10, RIGHTS_CODE, RIGHTS_DATA},
	    [DIFF_COMPATIBILITY] = {0x18, 0x10, CODE_32, DATA_32},
	    [DIFF_USER] = {0x43, 0x3b, CODE_64 | USER_LEVEL,
			   DATA_32 | USER_LEVEL},
	    [DIFF_V86] = {0, 0, V86_RIGHTS, V86_RIGHTS},
	};
	bool is_real = c->mode == DIFF_REAL;

	for (u32 i = 0; i < 6; i++) {
		vmwrite(VMCS_GUEST_ES_SELECTOR + 2 * i,
			i == 1 ? of[c->mode].code : of[c->mode].data);
		vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i,
			diff_is_16_bit(c) ? 0xffff : 0xffffffff);
		vmwrite(VMCS_GUEST_ES_BASE + 2 * i, is_real ? DIFF_WORLD : 0);
		vmwrite(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * i,
			i == 1 ? of[c->mode].code_rights
			       : of[c->mode].data_rights);
	}
	vmwrite(VMCS_GUEST_TR_SELECTOR, 0x20);
	vmwrite(VMCS_GUEST_TR_BASE, DIFF_WORLD + DIFF_TSS);
	vmwrite(VMCS_GUEST_GDTR_BASE, DIFF_WORLD + DIFF_GDT);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, (diff_is_wide(c) ? 9 : 8) * 8 - 1);
	vmwrite(VMCS_GUEST_IDTR_BASE, DIFF_WORLD + DIFF_IDT);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, diff_is_long(c) ? 0xfff
				       : is_real       ? 0x3ff
						       : 0x7ff);
}

static void write_mode(struct diff_case *c)
{
	u64 pointers = DIFF_WORLD + DIFF_PAE_POINTERS;

	vmwrite(VMCS_GUEST_CR3,
		diff_uses_pae(c) ? pointers : DIFF_WORLD + DIFF_PML4);
	vmwrite(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	if (diff_uses_pae(c) && c->controls.secondary & SECONDARY_EPT)
		vmwrite(VMCS_GUEST_PDPTE0, *(u64 *)pointers);
	if (!diff_is_long(c)) {
		l2_reset(VMCS_ENTRY_CONTROLS, ENTRY_IA32E_MODE_GUEST);
		vmwrite(VMCS_GUEST_EFER, 0);
	}
	if (c->mode == DIFF_UNPAGED)
		l2_reset(VMCS_GUEST_CR0, CR0_PG);
	if (c->mode == DIFF_REAL)
		l2_reset(VMCS_GUEST_CR0, CR0_PG | CR0_PE);
	if (c->mode == DIFF_V86)
		l2_set(VMCS_GUEST_RFLAGS,
		       RFLAGS_VM | diff_some_bits(&c->random, IOPL));
}

static void write_event(struct diff_case *c)
{
	static const u32 events[] = {
	    0x30, /* an interrupt */
	    EVENT_NMI << 8 | 2,
	    EVENT_HARDWARE_EXCEPTION << 8 | VECTOR_UD,
	    EVENT_HARDWARE_EXCEPTION << 8 | VECTOR_DE,
	    EVENT_HARDWARE_EXCEPTION << 8 | EVENT_HAS_ERROR_CODE | VECTOR_GP,
	    EVENT_HARDWARE_EXCEPTION << 8 | EVENT_HAS_ERROR_CODE | VECTOR_PF,
	    EVENT_SOFTWARE_INTERRUPT << 8 | 0x31,
	    EVENT_SOFTWARE_EXCEPTION << 8 | VECTOR_BP,
	};
	struct diff_random *r = &c->random;
	u32 event = events[diff_below(r, ARRAY_COUNT(events))];

	if (!diff_chance(r, 20) ||
	    (c->mode == DIFF_REAL && event & EVENT_HAS_ERROR_CODE))
		return;
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, event | EVENT_VALID);
	vmwrite(VMCS_ENTRY_EXCEPTION_ERROR_CODE, diff_below(r, 0x8000));
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, 1 + diff_below(r, 3));
}

void diff_write_vmcs(struct diff_case *c)
{
	l2_remake(&c->l2, &c->controls);
	vmwrite(VMCS_PREEMPTION_TIMER, GUARD_TICKS);
	write_bitmaps(c);
	write_masks(c);
	write_segments(c);
	write_mode(c);
	write_event(c);
	vmwrite(VMCS_GUEST_RIP, diff_address(c, DIFF_CODE));
	vmwrite(VMCS_GUEST_RSP, diff_address(c, DIFF_STACK_TOP));
	if (diff_chance(&c->random, 30))
		l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
}

/* --- Odd values ----------------------------------------------------------- */

static const struct diff_oddity guest_oddities[] = {
    {VMCS_GUEST_CR0, CR0_PE | CR0_NE | CR0_PG | BIT(32)},
    {VMCS_GUEST_CR4, CR4_VMXE | CR4_PAE | CR4_PCIDE | BIT(15) | BIT(50)},
    {VMCS_GUEST_CR3, BITS(51, 44)},
    {VMCS_GUEST_DR7, BITS(40, 30)},
    {VMCS_GUEST_RFLAGS, BIT(1) | BIT(3) | BIT(5) | BIT(15) | BIT(22) |
			    RFLAGS_VM | RFLAGS_IF | BIT(40)},
    {VMCS_GUEST_SYSENTER_ESP, BITS(50, 46)},
    {VMCS_GUEST_SYSENTER_EIP, BITS(50, 46)},
    {VMCS_GUEST_PAT, BITS(63, 0)},
    {VMCS_GUEST_EFER,
     BIT(0) | BIT(1) | EFER_LME | EFER_LMA | EFER_NXE | BIT(20)},
    {VMCS_GUEST_ACTIVITY_STATE, BITS(4, 2)},
    {VMCS_GUEST_INTERRUPTIBILITY, BITS(5, 2) | BIT(20)},
    {VMCS_LINK_POINTER, BITS(63, 0)},
    {VMCS_GUEST_PDPTE0, BITS(8, 0) | BITS(63, 50)},
    {VMCS_GUEST_CS_ACCESS_RIGHTS, BITS(15, 0) | BIT(17)},
    {VMCS_GUEST_SS_ACCESS_RIGHTS, BITS(17, 0)},
    {VMCS_GUEST_DS_ACCESS_RIGHTS, BITS(17, 0)},
    {VMCS_GUEST_FS_ACCESS_RIGHTS, BITS(17, 0)},
    {VMCS_GUEST_TR_ACCESS_RIGHTS, BITS(17, 0)},
    {VMCS_GUEST_LDTR_ACCESS_RIGHTS, BITS(17, 0)},
    {VMCS_GUEST_CS_LIMIT, BITS(31, 16)},
    {VMCS_GUEST_TR_LIMIT, BITS(31, 8)},
    {VMCS_GUEST_GDTR_LIMIT, BITS(20, 12)},
    {VMCS_GUEST_IDTR_LIMIT, BITS(20, 4)},
    {VMCS_GUEST_CS_SELECTOR, BITS(2, 0)},
    {VMCS_GUEST_SS_SELECTOR, BITS(2, 0)},
    {VMCS_GUEST_TR_SELECTOR, BITS(2, 0)},
    {VMCS_GUEST_FS_BASE, BITS(50, 40)},
    {VMCS_GUEST_TR_BASE, BITS(50, 40)},
    {VMCS_GUEST_GDTR_BASE, BITS(50, 40)},
    {VMCS_GUEST_SS_BASE, BITS(34, 28)},
};

/* Host state that no VM entry takes. */
static const struct diff_oddity host_oddities[] = {
    {VMCS_HOST_CR0, CR0_PE | CR0_NE | CR0_PG | BIT(40)},
    {VMCS_HOST_CR4, CR4_PAE | CR4_VMXE | BIT(15) | BIT(33)},
    {VMCS_HOST_CR3, BITS(51, 44)},
    {VMCS_HOST_ES_SELECTOR, BITS(2, 0)},
    {VMCS_HOST_CS_SELECTOR, BITS(3, 0)},
    {VMCS_HOST_SS_SELECTOR, BITS(2, 0)},
    {VMCS_HOST_TR_SELECTOR, BITS(2, 0)},
    {VMCS_HOST_SYSENTER_ESP, BITS(50, 47)},
    {VMCS_HOST_FS_BASE, BITS(50, 47)},
    {VMCS_HOST_GDTR_BASE, BITS(50, 47)},
    {VMCS_HOST_EFER, EFER_LMA | EFER_LME | BIT(1)},
    {VMCS_HOST_PAT, BIT(3) | BIT(11)},
    {VMCS_HOST_RIP, BITS(60, 47)},
};

static const struct diff_oddity control_oddities[] = {
    {VMCS_PIN_CONTROLS, BIT(1) | BIT(2) | BIT(8) | BIT(31)},
    {VMCS_PRIMARY_CONTROLS, BIT(0) | BIT(1) | BIT(4) | BIT(26)},
    {VMCS_SECONDARY_CONTROLS, BIT(15) | BIT(28)},
    {VMCS_EXIT_CONTROLS, BIT(0) | BIT(9) | BIT(11)},
    /* Not bit 10, entry to SMM: Bochs 2.7 has it (smm-entry). */
    {VMCS_ENTRY_CONTROLS, BIT(0) | BIT(11) | BIT(31)},
    {VMCS_IO_BITMAP_A, BITS(50, 48) | BITS(3, 0)},
    {VMCS_MSR_BITMAP, BITS(50, 48) | BITS(3, 0)},
    {VMCS_EPT_POINTER, BITS(5, 0) | BIT(11) | BITS(51, 48)},
    {VMCS_PML_ADDRESS, BITS(51, 48) | BITS(11, 8)},
    {VMCS_CR3_TARGET_COUNT, BITS(31, 3)},
    {VMCS_TPR_THRESHOLD, BITS(5, 0)},
    {VMCS_ENTRY_INTERRUPTION_INFO, BITS(29, 13)},
};

/* The bit `index` of those that are set in `bits`, counted from below. */
static u64 bit_of(u64 bits, u32 index)
{
	while (index--)
		bits &= bits - 1;
	return bits & -bits;
}

/* Bochs 2.7: code-dpl, long-paging. */
static u64 unchecked(const struct diff_case *c, u32 field)
{
	if (!(c->controls.secondary & SECONDARY_UNRESTRICTED_GUEST))
		return 0;
	switch (field) {
	case VMCS_GUEST_CR0:
		return CR0_PG;
	case VMCS_GUEST_SS_ACCESS_RIGHTS:
		return RIGHTS_DPL;
	default:
		return 0;
	}
}

void diff_turn_over(struct diff_case *c, const struct diff_oddity *list,
		    u32 count)
{
	const struct diff_oddity *o = &list[diff_below(&c->random, count)];
	u64 bit = bit_of(o->bits, diff_below(&c->random, bits_count(o->bits)));
	u64 value = 0;

	bit &= ~unchecked(c, o->field);
	if (vmread_try(o->field, &value) == VMX_OK)
		vmwrite_try(o->field, value ^ bit);
	c->oddities++;
	diff_note(c, "odd", o->field);
}

void diff_disturb(struct diff_case *c)
{
	struct diff_random *r = &c->random;

	if (diff_chance(r, 25))
		diff_turn_over(c, guest_oddities, ARRAY_COUNT(guest_oddities));
	if (diff_chance(r, 10))
		diff_turn_over(c, guest_oddities, ARRAY_COUNT(guest_oddities));
	if (diff_chance(r, 4))
		diff_turn_over(c, host_oddities, ARRAY_COUNT(host_oddities));
	if (diff_chance(r, 8))
		diff_turn_over(c, control_oddities,
			       ARRAY_COUNT(control_oddities));
}
