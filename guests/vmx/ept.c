/* SPDX-License-Identifier: MIT */
/*
 * EPT: rights at every level, misconfigurations, accessed and dirty bits, the
 * page-modification log, EPTP switching, the APIC-access page.
 * SDM vol. 3, "EPT Translation Mechanism", "Exit Qualification for EPT
 * Violations", "Page-Modification Logging", "EPTP Switching".
 *
 * What L2 accesses has ways of its own through both paging structures, so that
 * any entry on them can be changed:
 *
 *	linear 8G -- L2's page directory --> 512G -- EPT --> the area, 2 MiB
 */
#include "guests/vmx/suite.h"

#define LINEAR           (8 * GIB)
#define L2_PHYSICAL      (512 * GIB)
#define AREA_BYTES       (2 * MIB)
#define OFFSET           0x5120ul /* of the byte that L2 accesses */
#define RET              0xc3     /* what the area is full of */

#define PAGE_TABLE       0x07ul /* present, writable, user */
#define PAGE_LARGE       0x87ul
#define PAGE_ADDRESS     BITS(51, 12)

#define VIOLATION_READ   BIT(0)
#define VIOLATION_WRITE  BIT(1)
#define VIOLATION_FETCH  BIT(2)
#define VIOLATION_RIGHTS 3 /* the first of three bits */
#define VIOLATION_LINEAR BIT(7)
#define VIOLATION_FINAL  BIT(8)
#define VIOLATION_KNOWN  (BITS(5, 0) | BITS(8, 7))

enum access { READ, WRITE, FETCH };

static u64 area, directory;
static struct ept12 ept;

/* --- L2 ------------------------------------------------------------------- */

static volatile enum access wanted_access;
static volatile u64 wanted_address, seen;

static void access_once(void)
{
	volatile u8 *at = (volatile u8 *)wanted_address;

	switch (wanted_access) {
	case READ:
		seen = *at;
		break;
	case WRITE:
		*at = RET;
		break;
	case FETCH:
		((void (*)(void))wanted_address)();
		break;
	}
}

static void want(enum access access, u64 address)
{
	wanted_access = access;
	wanted_address = address;
	l2_begin(&suite_l2, access_once);
}

/* --- Both ways to the area ------------------------------------------------ */

/* Into the page tables that L1 and L2 share. */
static void map_linear(void)
{
	u64 *pml4 = (u64 *)(read_cr3() & PAGE_ADDRESS);
	u64 *pdpt = (u64 *)(pml4[0] & PAGE_ADDRESS);

	directory = pages_take(1);
	*(u64 *)directory = L2_PHYSICAL | PAGE_LARGE;
	pdpt[LINEAR / GIB] = directory | PAGE_TABLE;
}

static void fresh_ept(enum ept12_level leaf, u64 pointer_bits)
{
	ept12_make(&ept);
	ept12_identity(&ept, 4 * GIB, EPT12_2M);
	ept12_map(&ept, &(struct ept12_range){
			    .l2 = L2_PHYSICAL,
			    .l1 = area & ~(ept12_bytes(leaf) - 1),
			    .bytes = AREA_BYTES,
			    .level = leaf,
			    .rights = EPT12_RWX,
			});
	ept.pointer |= pointer_bits;
	vmwrite(VMCS_EPT_POINTER, ept.pointer);
}

/* A leaf of 1G begins below the area, so that L2's addresses move. */
static u64 shift_of(enum ept12_level leaf)
{
	return area & (ept12_bytes(leaf) - 1);
}

static void aim_directory(enum ept12_level leaf)
{
	*(volatile u64 *)directory =
	    (L2_PHYSICAL + align_down(shift_of(leaf), 2 * MIB)) | PAGE_LARGE;
}

static volatile u64 *entry_of(enum ept12_level leaf, enum ept12_level level)
{
	return ept12_entry(&ept, L2_PHYSICAL + shift_of(leaf) + OFFSET, level);
}

static void remake(u64 secondary)
{
	suite_make_l2(
	    &(struct l2_controls){.secondary = secondary | SECONDARY_VPID},
	    access_once);
}

/* --- Rights --------------------------------------------------------------- */

static const char *const access_names[] = {"read", "write", "fetch"};

static bool is_misconfigured(u64 rights)
{
	if (rights == EPT12_W || rights == (EPT12_W | EPT12_X))
		return true;
	return rights == EPT12_X &&
	       !(vmx_ept_capability() & EPT_CAP_EXECUTE_ONLY);
}

static void expect_violation(enum access access, u64 rights,
			     enum ept12_level leaf)
{
	struct l2_exit exit;

	if (!suite_run(EXIT_EPT_VIOLATION))
		return;
	l2_read_exit(&exit);
	suite_expect(exit.qualification & VIOLATION_KNOWN,
		     BIT(access) | rights << VIOLATION_RIGHTS |
			 VIOLATION_LINEAR | VIOLATION_FINAL,
		     "the qualification");
	suite_expect(exit.linear_address, LINEAR + OFFSET, "linear address");
	suite_expect(exit.physical_address,
		     L2_PHYSICAL + shift_of(leaf) + OFFSET, "physical address");
	suite_expect(exit.vectoring_info & EVENT_VALID, 0,
		     "IDT-vectoring information");
}

/* A violation itself drops what is cached: rights that grow need no INVEPT. */
static void run_with_rights(enum access access, u64 rights,
			    enum ept12_level leaf, volatile u64 *entry)
{
	u64 good = *entry;

	*entry = (good & ~EPT12_RWX) | rights;
	invept(INVEPT_SINGLE, ept.pointer, 0);
	want(access, LINEAR + OFFSET);
	if (is_misconfigured(rights)) {
		if (suite_run(EXIT_EPT_MISCONFIGURATION))
			suite_expect(vmread(VMCS_GUEST_PHYSICAL_ADDRESS),
				     L2_PHYSICAL + shift_of(leaf) + OFFSET,
				     "physical address");
	} else if (!(rights & BIT(access))) {
		expect_violation(access, rights, leaf);
	}
	*entry = good;
	suite_finish();
}

static void rights_at(enum ept12_level leaf, enum ept12_level level)
{
	for (u32 i = 0; i < 8 * 3; i++) {
		enum access access = (enum access)(i % 3);
		char name[60];

		fmt(name, sizeof(name), "leaf_%u_level_%u_rights_%u_%s", leaf,
		    level, i / 3, access_names[access]);
		suite_case(name);
		run_with_rights(access, i / 3, leaf, entry_of(leaf, level));
	}
}

static bool has_leaf(enum ept12_level leaf)
{
	u64 capability = vmx_ept_capability();

	if (leaf == EPT12_1G)
		return capability & EPT_CAP_1G;
	return leaf == EPT12_4K || capability & EPT_CAP_2M;
}

static void rights_at_every_level(void)
{
	for (enum ept12_level leaf = EPT12_4K; leaf <= EPT12_1G; leaf++) {
		if (!has_leaf(leaf))
			continue;
		remake(0);
		fresh_ept(leaf, 0);
		aim_directory(leaf);
		for (enum ept12_level at = leaf; at <= EPT12_TOP; at++)
			rights_at(leaf, at);
	}
	aim_directory(EPT12_2M);
}

/* --- Misconfigurations ---------------------------------------------------- */

static const struct {
	const char *name;
	enum ept12_level leaf, level;
	u64 bits;
	const char *defect;
} wrong_entries[] = {
    {"leaf_of_type_2", EPT12_4K, EPT12_4K, 2u << 3, NULL},
    {"leaf_of_type_3", EPT12_4K, EPT12_4K, 3u << 3, NULL},
    {"leaf_of_type_7", EPT12_2M, EPT12_2M, 7u << 3, NULL},
    {"leaf_address_too_far", EPT12_4K, EPT12_4K, BIT(51), NULL},
    {"table_with_type", EPT12_4K, EPT12_2M, 6u << 3, NULL},
    {"table_address_too_far", EPT12_4K, EPT12_1G, BIT(51), NULL},
    {"table_at_the_top_with_bit_7", EPT12_4K, EPT12_TOP, BIT(7), NULL},
    {"table_at_the_top_with_type", EPT12_4K, EPT12_TOP, BIT(3), NULL},
    {"leaf_of_2m_with_bit_20", EPT12_2M, EPT12_2M, BIT(20), NULL},
    {"leaf_of_2m_with_bit_12", EPT12_2M, EPT12_2M, BIT(12), "ept-bit-12"},
    {"leaf_of_1g_with_bit_29", EPT12_1G, EPT12_1G, BIT(29), NULL},
    {"leaf_of_1g_with_bit_12", EPT12_1G, EPT12_1G, BIT(12), "ept-bit-12"},
};

static void wrong_entry(u32 i)
{
	enum ept12_level leaf = wrong_entries[i].leaf;
	volatile u64 *entry;

	if (!has_leaf(leaf))
		return;
	suite_case(wrong_entries[i].name);
	suite_defect(wrong_entries[i].defect);
	remake(0);
	fresh_ept(leaf, 0);
	aim_directory(leaf);
	entry = entry_of(leaf, wrong_entries[i].level);
	if (leaf == wrong_entries[i].level &&
	    wrong_entries[i].bits & EPT12_TYPE)
		*entry &= ~EPT12_TYPE;
	*entry |= wrong_entries[i].bits;
	want(READ, LINEAR + OFFSET);
	suite_run(EXIT_EPT_MISCONFIGURATION);
	suite_expect(vmread(VMCS_GUEST_PHYSICAL_ADDRESS),
		     L2_PHYSICAL + shift_of(leaf) + OFFSET, "physical address");
	aim_directory(EPT12_2M);
}

/* What the CPU ignores is no mistake. */
static void ignored_bits_are_no_mistake(void)
{
	suite_case("ignored_bits");
	remake(0);
	fresh_ept(EPT12_4K, 0);
	*entry_of(EPT12_4K, EPT12_4K) |=
	    BIT(8) | BIT(9) | BIT(11) | BITS(56, 52);
	*entry_of(EPT12_4K, EPT12_2M) |= BIT(8) | BIT(11) | BITS(56, 52);
	want(WRITE, LINEAR + OFFSET);
	suite_finish();
}

/* --- Accessed and dirty bits ---------------------------------------------- */

static void expect_flags(enum ept12_level leaf, u64 accessed, u64 dirty)
{
	for (enum ept12_level at = leaf; at <= EPT12_TOP; at++)
		suite_expect(*entry_of(leaf, at) & EPT12_A, accessed,
			     "an accessed bit");
	suite_expect(*entry_of(leaf, leaf) & EPT12_D, dirty, "the dirty bit");
}

static void accessed_and_dirty(enum ept12_level leaf)
{
	if (!has_leaf(leaf))
		return;
	remake(0);
	fresh_ept(leaf, EPT12_POINTER_AD);
	aim_directory(leaf);
	expect_flags(leaf, 0, 0);
	want(READ, LINEAR + OFFSET);
	suite_finish();
	expect_flags(leaf, EPT12_A, 0);
	want(WRITE, LINEAR + OFFSET);
	suite_finish();
	expect_flags(leaf, EPT12_A, EPT12_D);
	/* Cleared, with the INVEPT that is due: set again. */
	*entry_of(leaf, leaf) &= ~(EPT12_A | EPT12_D);
	invept(INVEPT_SINGLE, ept.pointer, 0);
	want(WRITE, LINEAR + OFFSET);
	suite_finish();
	expect_flags(leaf, EPT12_A, EPT12_D);
	aim_directory(EPT12_2M);
}

static void refused_write_sets_no_dirty_bit(void)
{
	suite_case("refused_write_sets_no_dirty_bit");
	remake(0);
	fresh_ept(EPT12_4K, EPT12_POINTER_AD);
	*entry_of(EPT12_4K, EPT12_4K) &= ~EPT12_W;
	want(WRITE, LINEAR + OFFSET);
	expect_violation(WRITE, EPT12_R | EPT12_X, EPT12_4K);
	suite_expect(*entry_of(EPT12_4K, EPT12_4K) & EPT12_D, 0,
		     "the dirty bit");
	*entry_of(EPT12_4K, EPT12_4K) |= EPT12_W;
	suite_finish();
	expect_flags(EPT12_4K, EPT12_A, EPT12_D);
}

static void no_flags_without_the_switch(void)
{
	suite_case("no_flags_without_the_switch");
	remake(0);
	fresh_ept(EPT12_4K, 0);
	want(WRITE, LINEAR + OFFSET);
	suite_finish();
	expect_flags(EPT12_4K, 0, 0);
}

/* --- L2's page tables ----------------------------------------------------- */

static void page_table_violation(u64 pointer_bits, u64 rights, u64 access,
				 const char *name)
{
	struct l2_exit exit;
	volatile u64 *entry;

	suite_case(name);
	suite_defect_below("walk-access");
	remake(0);
	fresh_ept(EPT12_4K, pointer_bits);
	entry = ept12_entry(&ept, directory, EPT12_4K);
	*entry = (*entry & ~EPT12_RWX) | rights;
	*(volatile u64 *)directory &= ~(BIT(5) | BIT(6));
	want(READ, LINEAR + OFFSET);
	if (suite_run(EXIT_EPT_VIOLATION)) {
		l2_read_exit(&exit);
		suite_expect(exit.qualification & VIOLATION_KNOWN,
			     access | rights << VIOLATION_RIGHTS |
				 VIOLATION_LINEAR,
			     "the qualification");
		suite_expect(exit.linear_address, LINEAR + OFFSET,
			     "linear address");
		suite_expect(exit.physical_address, directory,
			     "physical address");
		*entry |= EPT12_RWX;
		suite_finish();
	}
}

static void page_tables_are_translated(void)
{
	page_table_violation(0, 0, VIOLATION_READ, "page_table_not_present");
	page_table_violation(0, EPT12_R | EPT12_X, VIOLATION_WRITE,
			     "page_table_read_only");
	if (vmx_ept_capability() & EPT_CAP_ACCESSED_DIRTY)
		page_table_violation(EPT12_POINTER_AD, EPT12_R | EPT12_X,
				     VIOLATION_READ | VIOLATION_WRITE,
				     "page_table_read_only_with_ad");
}

/* --- Mappings that change ------------------------------------------------- */

static void two_l2_pages_alias_one_l1_page(void)
{
	volatile u8 *bytes = (volatile u8 *)area;

	suite_case("two_l2_pages_alias_one_l1_page");
	remake(0);
	fresh_ept(EPT12_4K, 0);
	*ept12_entry(&ept, L2_PHYSICAL + 8 * PAGE_BYTES, EPT12_4K) =
	    (area + 9 * PAGE_BYTES) | EPT12_RWX | EPT12_TYPE_WB;
	bytes[8 * PAGE_BYTES] = 1;
	bytes[9 * PAGE_BYTES] = 2;
	want(WRITE, LINEAR + 8 * PAGE_BYTES);
	suite_finish();
	suite_expect(bytes[8 * PAGE_BYTES], 1, "the page that is not mapped");
	suite_expect(bytes[9 * PAGE_BYTES], RET, "the page that is, twice");
	want(READ, LINEAR + 9 * PAGE_BYTES);
	suite_finish();
	suite_expect(seen, RET, "what L2 reads at the other address");
	bytes[8 * PAGE_BYTES] = RET;
}

static void moved_page_is_seen_after_invept(void)
{
	volatile u8 *bytes = (volatile u8 *)area;
	volatile u64 *entry;

	suite_case("moved_page_is_seen_after_invept");
	remake(0);
	fresh_ept(EPT12_4K, 0);
	entry = ept12_entry(&ept, L2_PHYSICAL + 16 * PAGE_BYTES, EPT12_4K);
	bytes[16 * PAGE_BYTES] = 16;
	bytes[17 * PAGE_BYTES] = 17;
	want(READ, LINEAR + 16 * PAGE_BYTES);
	suite_finish();
	suite_expect(seen, 16, "what L2 reads");
	*entry += PAGE_BYTES;
	invept(INVEPT_SINGLE, ept.pointer, 0);
	want(READ, LINEAR + 16 * PAGE_BYTES);
	suite_finish();
	suite_expect(seen, 17, "what L2 reads afterwards");
	*entry = 0;
	invept(INVEPT_ALL, 0, 0);
	want(READ, LINEAR + 16 * PAGE_BYTES);
	suite_run(EXIT_EPT_VIOLATION);
}

/* A whole table that is replaced, not only its entries. */
static void moved_table_is_seen_after_invept(void)
{
	volatile u8 *bytes = (volatile u8 *)area;
	u64 *other = (u64 *)pages_take(1);

	suite_case("moved_table_is_seen_after_invept");
	remake(0);
	fresh_ept(EPT12_4K, 0);
	bytes[0] = 1;
	bytes[PAGE_BYTES] = 2;
	want(READ, LINEAR);
	suite_finish();
	suite_expect(seen, 1, "what L2 reads");
	other[0] = (area + PAGE_BYTES) | EPT12_RWX | EPT12_TYPE_WB;
	*ept12_entry(&ept, L2_PHYSICAL, EPT12_2M) = (u64)other | EPT12_RWX;
	invept(INVEPT_SINGLE, ept.pointer, 0);
	want(READ, LINEAR);
	suite_finish();
	suite_expect(seen, 2, "what L2 reads afterwards");
}

static void large_page_becomes_small_ones(void)
{
	volatile u8 *bytes = (volatile u8 *)area;

	suite_case("large_page_becomes_small_ones");
	remake(0);
	fresh_ept(EPT12_2M, 0);
	bytes[3 * PAGE_BYTES] = 3;
	bytes[4 * PAGE_BYTES] = 4;
	want(READ, LINEAR + 3 * PAGE_BYTES);
	suite_finish();
	suite_expect(seen, 3, "what L2 reads");
	*ept12_entry(&ept, L2_PHYSICAL + 3 * PAGE_BYTES, EPT12_4K) +=
	    PAGE_BYTES;
	invept(INVEPT_SINGLE, ept.pointer, 0);
	want(READ, LINEAR + 3 * PAGE_BYTES);
	suite_finish();
	suite_expect(seen, 4, "what L2 reads afterwards");
}

/* --- The page-modification log -------------------------------------------- */

#define PML_ENTRIES 512u

static u64 *log_page;

static void use_log(u16 index)
{
	if (!log_page)
		log_page = (u64 *)pages_take(1);
	memset(log_page, 0, PAGE_BYTES);
	remake(SECONDARY_PML);
	fresh_ept(EPT12_4K, EPT12_POINTER_AD);
	vmwrite(VMCS_PML_ADDRESS, (u64)log_page);
	vmwrite(VMCS_PML_INDEX, index);
}

static u64 logged_in_area(u64 address)
{
	u64 count = 0;

	for (u32 i = 0; i < PML_ENTRIES; i++)
		count += log_page[i] == address;
	return count;
}

static void writes_are_logged(void)
{
	suite_case("writes_are_logged");
	suite_defect("pml-address");
	use_log(PML_ENTRIES - 1);
	want(WRITE, LINEAR + OFFSET);
	suite_finish();
	suite_expect(logged_in_area((L2_PHYSICAL + OFFSET) & EPT12_ADDRESS), 1,
		     "entries of the page written");
	want(WRITE, LINEAR + OFFSET);
	suite_finish();
	suite_expect(logged_in_area((L2_PHYSICAL + OFFSET) & EPT12_ADDRESS), 1,
		     "entries after a second write");
	want(READ, LINEAR + 2 * PAGE_BYTES);
	suite_finish();
	suite_expect(logged_in_area(L2_PHYSICAL + 2 * PAGE_BYTES), 0,
		     "entries of a page that is read");
}

/* L2's own pages first, so that nothing else is logged. */
static void warm_up(void)
{
	want(WRITE, LINEAR);
	suite_finish();
}

static void full_log_exits(void)
{
	volatile u8 *byte = (volatile u8 *)(area + OFFSET);

	suite_case("full_log_exits");
	use_log(PML_ENTRIES - 1);
	warm_up();
	vmwrite(VMCS_PML_INDEX, 0xffff);
	*byte = 0;
	want(WRITE, LINEAR + OFFSET);
	suite_run(EXIT_PML_FULL);
	suite_expect(*byte, 0, "the byte that was not written");
	suite_expect(vmread(VMCS_PML_INDEX), 0xffff, "the index");
	suite_expect(*entry_of(EPT12_4K, EPT12_4K) & EPT12_D, 0,
		     "the dirty bit");
	vmwrite(VMCS_PML_INDEX, PML_ENTRIES - 1);
	suite_finish();
	suite_expect(*byte, RET, "the byte that is written");
	suite_expect(vmread(VMCS_PML_INDEX), PML_ENTRIES - 2, "the index");
}

static void last_entry_wraps(void)
{
	suite_case("last_entry_wraps");
	suite_defect("pml-address");
	use_log(PML_ENTRIES - 1);
	warm_up();
	vmwrite(VMCS_PML_INDEX, 0);
	want(WRITE, LINEAR + OFFSET);
	suite_finish();
	suite_expect(vmread(VMCS_PML_INDEX), 0xffff, "the index");
	suite_expect(log_page[0], (L2_PHYSICAL + OFFSET) & EPT12_ADDRESS,
		     "entry 0");
}

static void log_of_l2(void)
{
	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_PML))
		return;
	writes_are_logged();
	full_log_exits();
	last_entry_wraps();
}

/* --- EPTP switching ------------------------------------------------------- */

static volatile u32 vmfunc_function, vmfunc_index;
static volatile u32 vmfunc_fault;

static void switch_and_read(void)
{
	register u32 fault __asm__("r8");

	__asm__ volatile(TRY("vmfunc")
			 : "=&r"(fault)
			 : "a"(vmfunc_function), "c"(vmfunc_index)
			 : "memory");
	vmfunc_fault = fault;
	seen = *(volatile u8 *)(LINEAR + 20 * PAGE_BYTES);
}

static u64 *eptp_list;

static void want_switch(u32 function, u32 index)
{
	vmfunc_function = function;
	vmfunc_index = index;
	l2_begin(&suite_l2, switch_and_read);
}

static void bad_switch(u32 function, u32 index, const char *what)
{
	want_switch(function, index);
	suite_case(what);
	if (suite_run(EXIT_VMFUNC)) {
		suite_expect(vmread(VMCS_EXIT_INSTRUCTION_LENGTH), 3,
			     "the length");
		l2_skip(&suite_l2);
		suite_finish();
	}
}

static void make_two_epts(void)
{
	struct ept12 first;

	remake(SECONDARY_VMFUNC);
	fresh_ept(EPT12_4K, 0);
	first = ept;
	fresh_ept(EPT12_4K, 0);
	*ept12_entry(&ept, L2_PHYSICAL + 20 * PAGE_BYTES, EPT12_4K) +=
	    PAGE_BYTES;
	if (!eptp_list)
		eptp_list = (u64 *)pages_take(1);
	eptp_list[0] = first.pointer;
	eptp_list[1] = ept.pointer;
	eptp_list[2] = ept.pointer | BIT(11);
	eptp_list[511] = first.pointer;
	vmwrite(VMCS_EPT_POINTER, first.pointer);
	vmwrite(VMCS_VMFUNC_CONTROLS, VMFUNC_EPTP_SWITCHING);
	vmwrite(VMCS_EPTP_LIST_ADDRESS, (u64)eptp_list);
}

static void eptp_switching(void)
{
	volatile u8 *bytes = (volatile u8 *)area;

	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_VMFUNC) ||
	    !(rdmsr(MSR_VMX_VMFUNC) & VMFUNC_EPTP_SWITCHING))
		return;
	suite_case("eptp_switching");
	make_two_epts();
	bytes[20 * PAGE_BYTES] = 20;
	bytes[21 * PAGE_BYTES] = 21;
	want_switch(0, 1);
	suite_finish();
	suite_expect(vmfunc_fault, NO_FAULT, "VMFUNC");
	suite_expect(seen, 21, "what L2 reads behind the switch");
	suite_expect(vmread(VMCS_EPT_POINTER), eptp_list[1], "the EPT pointer");
	want_switch(0, 511);
	suite_finish();
	suite_expect(seen, 20, "what L2 reads after switching back");
	bad_switch(0, 512, "switch_beyond_the_list");
	bad_switch(0, 2, "switch_to_a_bad_pointer");
	bad_switch(1, 0, "vmfunc_that_is_not_enabled");
	suite_case("vmfunc_without_the_control");
	l2_reset(VMCS_SECONDARY_CONTROLS, SECONDARY_VMFUNC);
	want_switch(0, 1);
	suite_finish();
	suite_expect(vmfunc_fault, VECTOR_UD, "VMFUNC");
}

/* --- The APIC-access page ------------------------------------------------- */

static void apic_access(enum access access, u64 offset, u64 type)
{
	want(access, LINEAR + 30 * PAGE_BYTES + offset);
	if (!suite_run(EXIT_APIC_ACCESS))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION) & BITS(15, 0),
		     offset | type << 12, "the qualification");
	l2_reset(VMCS_SECONDARY_CONTROLS, SECONDARY_APIC_ACCESSES);
	suite_finish();
	l2_set(VMCS_SECONDARY_CONTROLS, SECONDARY_APIC_ACCESSES);
}

static void apic_access_page(void)
{
	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_APIC_ACCESSES))
		return;
	suite_case("apic_access_page");
	remake(SECONDARY_APIC_ACCESSES);
	fresh_ept(EPT12_4K, 0);
	vmwrite(VMCS_APIC_ACCESS_ADDRESS, area + 30 * PAGE_BYTES);
	apic_access(READ, 0x80, 0);
	apic_access(WRITE, 0x300, 1);
	apic_access(READ, 0xff0, 0);
	/* Bochs 2.7 stops for good at a fetch from that page. */
	if (!suite_in_bochs() && !boot_has_word("bochs"))
		apic_access(FETCH, 0x10, 2);
}

static void virtual_tpr(void)
{
	volatile u8 *page = (volatile u8 *)pages_take(1);

	if (!vmx_allows(CONTROLS_PRIMARY, PRIMARY_TPR_SHADOW) ||
	    !vmx_allows(CONTROLS_SECONDARY, SECONDARY_APIC_ACCESSES))
		return;
	suite_case("virtual_tpr_is_read_without_exit");
	remake(SECONDARY_APIC_ACCESSES);
	l2_set(VMCS_PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW);
	fresh_ept(EPT12_4K, 0);
	vmwrite(VMCS_APIC_ACCESS_ADDRESS, area + 30 * PAGE_BYTES);
	vmwrite(VMCS_VIRTUAL_APIC_ADDRESS, (u64)page);
	page[0x80] = 0x35;
	want(READ, LINEAR + 30 * PAGE_BYTES + 0x80);
	suite_finish();
	suite_expect(seen, 0x35, "the TPR that L2 reads");
	apic_access(READ, 0x20, 0);
}

/* --- Without EPT ---------------------------------------------------------- */

static void l2_without_ept(void)
{
	suite_case("l2_without_ept");
	remake(0);
	l2_reset(VMCS_SECONDARY_CONTROLS, SECONDARY_EPT);
	((volatile u8 *)area)[0] = 0x77;
	want(READ, area);
	suite_finish();
	suite_expect(seen, 0x77, "what L2 reads");
	want(WRITE, area);
	suite_finish();
	suite_expect(((volatile u8 *)area)[0], RET, "what L2 has written");
}

void suite_ept(void)
{
	area = pages_take_aligned(AREA_BYTES / PAGE_BYTES, AREA_BYTES);
	memset((void *)area, RET, AREA_BYTES);
	map_linear();
	rights_at_every_level();
	for (u32 i = 0; i < ARRAY_COUNT(wrong_entries); i++)
		wrong_entry(i);
	ignored_bits_are_no_mistake();
	if (vmx_ept_capability() & EPT_CAP_ACCESSED_DIRTY) {
		suite_case("accessed_and_dirty_bits");
		accessed_and_dirty(EPT12_4K);
		accessed_and_dirty(EPT12_2M);
		accessed_and_dirty(EPT12_1G);
		refused_write_sets_no_dirty_bit();
		log_of_l2();
	}
	no_flags_without_the_switch();
	page_tables_are_translated();
	two_l2_pages_alias_one_l1_page();
	moved_page_is_seen_after_invept();
	moved_table_is_seen_after_invept();
	large_page_becomes_small_ones();
	eptp_switching();
	apic_access_page();
	virtual_tpr();
	l2_without_ept();
}
