/* SPDX-License-Identifier: MIT */
/*
 * What a VM entry loads and a VM exit saves and loads: registers, MSR areas,
 * time; L2 in other modes than L1's; a shadow VMCS for L2.
 * SDM vol. 3, "Loading MSRs", "Saving MSRs", "VMCS Shadowing Bitmap Addresses",
 * "PDPTE Registers".
 */
#include "guests/vmx/suite.h"

#define MARK(n)            (0x0000234500000000ull + (n))
#define PAT_OTHER          0x0006040600060406ull
#define DR7_GUEST          0x0455u
#define PAGE_ADDRESS       BITS(51, 12)
#define PAGE_PRESENT       BIT(0)

#define CODE_16            RIGHTS_CODE
#define DATA_16            RIGHTS_DATA
#define CODE_32            (RIGHTS_CODE | RIGHTS_32 | RIGHTS_4K_LIMIT)
#define DATA_32            (RIGHTS_DATA | RIGHTS_32 | RIGHTS_4K_LIMIT)

#define TASK_SWITCH_SOURCE 30 /* the first of two bits */

static void make(const struct l2_controls *controls, void (*program)(void))
{
	suite_make_l2(controls, program);
}

static void do_nothing(void)
{
}

/* --- Registers ------------------------------------------------------------ */

static void change_registers(void)
{
	wrmsr(MSR_SYSENTER_CS, 0x11);
	wrmsr(MSR_SYSENTER_ESP, MARK(1));
	wrmsr(MSR_SYSENTER_EIP, MARK(2));
	wrmsr(MSR_FS_BASE, MARK(3));
	__asm__ volatile("mov %0, %%fs" ::"r"(SELECTOR_DATA));
	wrmsr(MSR_FS_BASE, MARK(4));
	__asm__ volatile("mov %0, %%dr7" ::"r"((u64)DR7_GUEST));
	write_cr0(read_cr0() ^ CR0_AM);
	write_cr4(read_cr4() ^ CR4_TSD);
}

static struct l2_controls quiet = {
    .primary = PRIMARY_MSR_BITMAPS,
    .exit = EXIT_SAVE_DEBUG_CONTROLS,
    .entry = ENTRY_LOAD_DEBUG_CONTROLS,
};

static void no_msr_exits(void)
{
	static u64 bitmap;

	if (!bitmap)
		bitmap = pages_take(1);
	vmwrite(VMCS_MSR_BITMAP, bitmap);
}

static void guest_state_is_saved(void)
{
	u64 cr0, cr4;

	suite_case("guest_state_is_saved");
	make(&quiet, change_registers);
	no_msr_exits();
	cr0 = vmread(VMCS_GUEST_CR0);
	cr4 = vmread(VMCS_GUEST_CR4);
	suite_finish();
	suite_expect(vmread(VMCS_GUEST_SYSENTER_CS), 0x11, "SYSENTER_CS");
	suite_expect(vmread(VMCS_GUEST_SYSENTER_ESP), MARK(1), "SYSENTER_ESP");
	suite_expect(vmread(VMCS_GUEST_SYSENTER_EIP), MARK(2), "SYSENTER_EIP");
	suite_expect(vmread(VMCS_GUEST_FS_SELECTOR), SELECTOR_DATA, "FS");
	suite_expect(vmread(VMCS_GUEST_FS_BASE), MARK(4), "FS base");
	suite_expect(vmread(VMCS_GUEST_FS_LIMIT), 0xffffffff, "FS limit");
	suite_expect(vmread(VMCS_GUEST_FS_ACCESS_RIGHTS), DATA_32, "FS rights");
	suite_expect(vmread(VMCS_GUEST_DR7), DR7_GUEST, "DR7");
	suite_expect(vmread(VMCS_GUEST_CR0), cr0 ^ CR0_AM, "CR0");
	suite_expect(vmread(VMCS_GUEST_CR4), cr4 ^ CR4_TSD, "CR4");
	suite_expect(vmread(VMCS_GUEST_CR3), read_cr3(), "CR3");
}

static u64 read_dr7(void)
{
	u64 value;

	__asm__ volatile("mov %%dr7, %0" : "=r"(value));
	return value;
}

static void host_state_is_loaded(void)
{
	struct {
		u16 limit;
		u64 base;
	} PACKED table;
	u64 cr0 = read_cr0(), cr4 = read_cr4(), gs = rdmsr(MSR_GS_BASE);
	u16 selector;

	suite_case("host_state_is_loaded");
	make(&quiet, change_registers);
	no_msr_exits();
	vmwrite(VMCS_HOST_SYSENTER_CS, 0x22);
	vmwrite(VMCS_HOST_SYSENTER_ESP, MARK(5));
	vmwrite(VMCS_HOST_SYSENTER_EIP, MARK(6));
	vmwrite(VMCS_HOST_FS_BASE, MARK(7));
	suite_finish();
	suite_expect(rdmsr(MSR_SYSENTER_CS), 0x22, "SYSENTER_CS");
	suite_expect(rdmsr(MSR_SYSENTER_ESP), MARK(5), "SYSENTER_ESP");
	suite_expect(rdmsr(MSR_SYSENTER_EIP), MARK(6), "SYSENTER_EIP");
	suite_expect(rdmsr(MSR_FS_BASE), MARK(7), "FS base");
	suite_expect(rdmsr(MSR_GS_BASE), gs, "GS base");
	suite_expect(read_cr0(), cr0, "CR0");
	suite_expect(read_cr4(), cr4, "CR4");
	suite_expect(read_dr7(), 0x400, "DR7");
	__asm__ volatile("sgdt %0" : "=m"(table));
	suite_expect(table.limit, 0xffff, "GDTR's limit");
	__asm__ volatile("sidt %0" : "=m"(table));
	suite_expect(table.limit, 0xffff, "IDTR's limit");
	__asm__ volatile("sldt %0" : "=m"(selector));
	suite_expect(selector, 0, "LDTR");
	__asm__ volatile("str %0" : "=m"(selector));
	suite_expect(selector, SELECTOR_TSS64, "TR");
	wrmsr(MSR_FS_BASE, 0);
}

/* --- PAT and EFER --------------------------------------------------------- */

static volatile u64 seen_pat, seen_efer;

static void look_at_msrs(void)
{
	seen_pat = rdmsr(MSR_PAT);
	seen_efer = rdmsr(MSR_EFER);
	wrmsr(MSR_PAT, PAT_OTHER ^ 0x0200);
	wrmsr(MSR_EFER, seen_efer | EFER_SCE);
}

static void pat_and_efer_are_switched(void)
{
	struct l2_controls c = quiet;
	u64 pat = rdmsr(MSR_PAT), efer = rdmsr(MSR_EFER) & ~EFER_SCE;

	c.exit |=
	    EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER;
	c.entry |= ENTRY_LOAD_PAT | ENTRY_LOAD_EFER;
	if (!vmx_allows(CONTROLS_EXIT, c.exit) ||
	    !vmx_allows(CONTROLS_ENTRY, c.entry))
		return;
	suite_case("pat_and_efer_are_switched");
	make(&c, look_at_msrs);
	no_msr_exits();
	vmwrite(VMCS_GUEST_PAT, PAT_OTHER);
	vmwrite(VMCS_GUEST_EFER, efer & ~EFER_NXE);
	vmwrite(VMCS_HOST_EFER, efer);
	suite_finish();
	suite_expect(seen_pat, PAT_OTHER, "L2's PAT");
	suite_expect(seen_efer, efer & ~EFER_NXE, "L2's EFER");
	suite_expect(vmread(VMCS_GUEST_PAT), PAT_OTHER ^ 0x0200,
		     "PAT that is saved");
	suite_expect(vmread(VMCS_GUEST_EFER), (efer & ~EFER_NXE) | EFER_SCE,
		     "EFER that is saved");
	suite_expect(rdmsr(MSR_PAT), pat, "L1's PAT");
	suite_expect(rdmsr(MSR_EFER), efer, "L1's EFER");
}

/* Without the controls an entry and an exit leave them to both alike. */
static volatile u64 seen_dr7;

static void change_unsaved(void)
{
	__asm__ volatile("mov %%dr7, %0" : "=r"(seen_dr7));
	seen_pat = rdmsr(MSR_PAT);
	__asm__ volatile("mov %0, %%dr7" ::"r"((u64)DR7_GUEST));
	wrmsr(MSR_PAT, PAT_OTHER);
}

static void what_no_control_asks_for_is_not_switched(void)
{
	struct l2_controls c = {.primary = PRIMARY_MSR_BITMAPS};
	u64 pat = rdmsr(MSR_PAT);

	suite_case("what_no_control_asks_for_is_not_switched");
	make(&c, change_unsaved);
	if (vmread(VMCS_ENTRY_CONTROLS) & ENTRY_LOAD_DEBUG_CONTROLS ||
	    vmread(VMCS_EXIT_CONTROLS) & EXIT_SAVE_DEBUG_CONTROLS)
		return;
	no_msr_exits();
	vmwrite(VMCS_GUEST_DR7, 0x402);
	suite_finish();
	suite_expect(seen_dr7, 0x400, "DR7 in L2");
	suite_expect(seen_pat, pat, "PAT in L2");
	suite_expect(vmread(VMCS_GUEST_DR7), 0x402, "DR7 that is not saved");
	suite_expect(read_dr7(), 0x400, "DR7 in L1");
	suite_expect(rdmsr(MSR_PAT), PAT_OTHER, "PAT in L1");
	wrmsr(MSR_PAT, pat);
}

/* --- MSR areas ------------------------------------------------------------ */

struct msr_entry {
	u32 index, reserved;
	u64 value;
};

static volatile u64 seen_lstar, seen_kernel_gs;

static void look_at_areas(void)
{
	seen_lstar = rdmsr(MSR_LSTAR);
	seen_kernel_gs = rdmsr(MSR_KERNEL_GS_BASE);
	wrmsr(MSR_LSTAR, MARK(12));
	wrmsr(MSR_CSTAR, MARK(13));
}

static void use_area(enum vmcs_field address, enum vmcs_field count,
		     struct msr_entry *area, u64 entries)
{
	vmwrite(address, (u64)area);
	vmwrite(count, entries);
}

static void msr_areas(void)
{
	struct msr_entry *area = (struct msr_entry *)pages_take(1);

	suite_case("msr_areas");
	area[0] = (struct msr_entry){MSR_LSTAR, 0, MARK(10)};
	area[1] = (struct msr_entry){MSR_KERNEL_GS_BASE, 0, MARK(11)};
	area[8] = (struct msr_entry){MSR_LSTAR, 0, 1};
	area[9] = (struct msr_entry){MSR_CSTAR, 0, 1};
	area[16] = (struct msr_entry){MSR_LSTAR, 0, MARK(14)};
	make(&quiet, look_at_areas);
	no_msr_exits();
	use_area(VMCS_ENTRY_MSR_LOAD_ADDRESS, VMCS_ENTRY_MSR_LOAD_COUNT, area,
		 2);
	use_area(VMCS_EXIT_MSR_STORE_ADDRESS, VMCS_EXIT_MSR_STORE_COUNT,
		 &area[8], 2);
	use_area(VMCS_EXIT_MSR_LOAD_ADDRESS, VMCS_EXIT_MSR_LOAD_COUNT,
		 &area[16], 1);
	suite_finish();
	suite_expect(seen_lstar, MARK(10), "LSTAR in L2");
	suite_expect(seen_kernel_gs, MARK(11), "KERNEL_GS_BASE in L2");
	suite_expect(area[8].value, MARK(12), "LSTAR that is stored");
	suite_expect(area[9].value, MARK(13), "CSTAR that is stored");
	suite_expect(area[0].value, MARK(10), "an entry of the load area");
	suite_expect(rdmsr(MSR_LSTAR), MARK(14), "LSTAR in L1");
	suite_expect(rdmsr(MSR_KERNEL_GS_BASE), MARK(11),
		     "KERNEL_GS_BASE, which nobody reloads");
}

/* As many entries as IA32_VMX_MISC recommends, and nothing behind them. */
static void msr_areas_of_the_recommended_size(void)
{
	u64 count = 512 * (bits_get(rdmsr(MSR_VMX_MISC), MISC_MSR_LIST) + 1);
	u64 pages = (count + 1) * sizeof(struct msr_entry) / PAGE_BYTES + 1;
	struct msr_entry *load = (struct msr_entry *)pages_take(pages);
	struct msr_entry *store = (struct msr_entry *)pages_take(pages);

	suite_case("msr_areas_of_the_recommended_size");
	for (u64 i = 0; i < count; i++) {
		load[i] = (struct msr_entry){MSR_LSTAR, 0, MARK(i)};
		store[i] = (struct msr_entry){MSR_LSTAR, 0, 1};
	}
	load[count] = store[count] = (struct msr_entry){~0u, ~0u, 1};
	make(&quiet, do_nothing);
	no_msr_exits();
	use_area(VMCS_ENTRY_MSR_LOAD_ADDRESS, VMCS_ENTRY_MSR_LOAD_COUNT, load,
		 (u32)count);
	use_area(VMCS_EXIT_MSR_STORE_ADDRESS, VMCS_EXIT_MSR_STORE_COUNT, store,
		 (u32)count);
	use_area(VMCS_EXIT_MSR_LOAD_ADDRESS, VMCS_EXIT_MSR_LOAD_COUNT, load,
		 (u32)count);
	suite_finish();
	suite_expect(store[0].value, MARK(count - 1), "the first one stored");
	suite_expect(store[count - 1].value, MARK(count - 1), "the last one");
	suite_expect(store[count].value, 1, "what is behind the area");
	suite_expect(rdmsr(MSR_LSTAR), MARK(count - 1), "LSTAR in L1");
}

/* --- Time ----------------------------------------------------------------- */

static volatile u64 seen_tsc;

static void look_at_tsc(void)
{
	seen_tsc = rdtsc();
}

static void tsc_is_offset(void)
{
	u64 before;

	suite_case("tsc_is_offset");
	make(&(struct l2_controls){.primary = PRIMARY_TSC_OFFSETTING},
	     look_at_tsc);
	vmwrite(VMCS_TSC_OFFSET, 1ull << 40);
	before = rdtsc();
	suite_finish();
	suite_true(seen_tsc >= before + (1ull << 40) &&
		       seen_tsc <= rdtsc() + (1ull << 40),
		   "that L2's TSC is L1's and the offset");
	make(&(struct l2_controls){0}, look_at_tsc);
	vmwrite(VMCS_TSC_OFFSET, 1ull << 40);
	before = rdtsc();
	suite_finish();
	suite_true(seen_tsc >= before && seen_tsc <= rdtsc(),
		   "that there is no offset without the control");
}

static void tsc_is_scaled(void)
{
	u64 before;

	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_TSC_SCALING))
		return;
	suite_case("tsc_is_scaled");
	make(&(struct l2_controls){.primary = PRIMARY_TSC_OFFSETTING,
				   .secondary = SECONDARY_TSC_SCALING},
	     look_at_tsc);
	vmwrite(VMCS_TSC_OFFSET, 1ull << 40);
	vmwrite(VMCS_TSC_MULTIPLIER, 3ull << 47); /* 1.5 */
	before = rdtsc();
	suite_finish();
	suite_true(seen_tsc >= before / 2 * 3 + (1ull << 40) &&
		       seen_tsc <= rdtsc() / 2 * 3 + 3 + (1ull << 40),
		   "that L2's TSC is half as fast again");
}

#define TSC_FAR                (1ull << 40)
#define CPUID_7_EBX_TSC_ADJUST BIT(1)

static volatile u64 adjust_of_l2;

static void adjust_tsc(void)
{
	wrmsr(MSR_TSC_ADJUST, adjust_of_l2);
	look_at_tsc();
}

/* SDM vol. 3, "Time-Stamp Counter Adjustment": L1 and L2 have one, which L1
 * moves and L2 moves back. */
static void tsc_is_moved_back(void)
{
	u64 adjust, before;

	if (!(cpuid(7, 0).ebx & CPUID_7_EBX_TSC_ADJUST))
		return;
	suite_case("tsc_that_l2_moves_back");
	make(&(struct l2_controls){.primary = PRIMARY_MSR_BITMAPS}, adjust_tsc);
	vmwrite(VMCS_MSR_BITMAP, pages_take(1));
	adjust = adjust_of_l2 = rdmsr(MSR_TSC_ADJUST);
	before = rdtsc();
	wrmsr(MSR_TSC_ADJUST, adjust + TSC_FAR);
	suite_true(rdtsc() - before >= TSC_FAR, "that L1's TSC has moved");
	suite_finish();
	suite_true(seen_tsc - before < TSC_FAR / 2, "that L2's is back");
	suite_true(rdtsc() - before < TSC_FAR / 2, "that L1's is back");
}

/* SDM vol. 3, "VMX-Preemption Timer": it counts what the TSC is incremented by,
 * and that is not what is written into it. */
static void timer_counts_increments(void)
{
	u64 adjust;

	if (!(cpuid(7, 0).ebx & CPUID_7_EBX_TSC_ADJUST) ||
	    !vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
		return;
	suite_case("timer_of_an_l2_that_moves_the_tsc");
	make(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER,
				   .primary = PRIMARY_MSR_BITMAPS},
	     adjust_tsc);
	vmwrite(VMCS_MSR_BITMAP, pages_take(1));
	vmwrite(VMCS_PREEMPTION_TIMER, BITS(27, 0));
	adjust = rdmsr(MSR_TSC_ADJUST);
	adjust_of_l2 = adjust + TSC_FAR;
	suite_finish();
	wrmsr(MSR_TSC_ADJUST, adjust);
}

/* --- What nobody switches ------------------------------------------------- */

static volatile u64 seen_cr2;

static void change_unswitched(void)
{
	__asm__ volatile("mov %%cr2, %0" : "=r"(seen_cr2));
	write_cr2(MARK(21));
	__asm__ volatile("mov %0, %%dr1" ::"r"(0x5678ull));
}

static void unswitched_registers_pass_through(void)
{
	u64 dr1;

	suite_case("unswitched_registers_pass_through");
	make(&(struct l2_controls){0}, change_unswitched);
	write_cr2(MARK(20));
	suite_finish();
	__asm__ volatile("mov %%dr1, %0" : "=r"(dr1));
	suite_expect(seen_cr2, MARK(20), "CR2 in L2");
	suite_expect(read_cr2(), MARK(21), "CR2 in L1");
	suite_expect(dr1, 0x5678, "DR1 in L1");
}

static void general_registers_pass_through(void)
{
	static const u8 vmcall_at_once[] = {0x0f, 0x01, 0xc1};
	u64 sum = 0;

	suite_case("general_registers_pass_through");
	make(&(struct l2_controls){0}, do_nothing);
	vmwrite(VMCS_GUEST_RIP, (u64)vmcall_at_once);
	for (u32 i = 0; i < 16; i++)
		suite_l2.registers[i] = MARK(i);
	suite_run(EXIT_VMCALL);
	for (u32 i = 0; i < 16; i++)
		sum += i != 4 && suite_l2.registers[i] != MARK(i);
	suite_expect(sum, 0, "registers that have changed");
}

/* --- Two VMCSs in turn ---------------------------------------------------- */

static void two_l2s_in_turn(void)
{
	static struct l2 second;
	u64 stack;

	suite_case("two_l2s_in_turn");
	l2_make(&second, &(struct l2_controls){0});
	l2_begin(&second, do_nothing);
	vmwrite(VMCS_GUEST_FS_BASE, MARK(31));
	make(&(struct l2_controls){0}, do_nothing);
	stack = vmread(VMCS_GUEST_RSP);
	for (u32 i = 0; i < 4; i++) {
		suite_finish();
		l2_use(&second);
		suite_expect(l2_run(&second), EXIT_VMCALL, "the second's exit");
		suite_expect(vmread(VMCS_GUEST_FS_BASE), MARK(31),
			     "the second's FS base");
		l2_skip(&second);
		l2_use(&suite_l2);
		suite_expect(vmread(VMCS_GUEST_RSP), stack, "the first's RSP");
		l2_skip(&suite_l2);
	}
	/* Made clear in between, it must be launched again. */
	l2_clear(&suite_l2);
	l2_use(&suite_l2);
	suite_finish();
}

/* --- Other modes ---------------------------------------------------------- */

/* cpuid; vmcall: the same bytes in every mode. */
static const u8 small_program[] = {0x0f, 0xa2, 0x0f, 0x01, 0xc1};

/* The segments ES to GS of a mode; code at `base`. */
static void write_segments(u64 code, u64 data, u64 limit, u64 base)
{
	for (u32 i = 0; i < 6; i++) {
		bool is_code = i == 1;

		vmwrite(VMCS_GUEST_ES_ACCESS_RIGHTS + 2 * i,
			is_code ? code : data);
		vmwrite(VMCS_GUEST_ES_LIMIT + 2 * i, limit);
		vmwrite(VMCS_GUEST_ES_BASE + 2 * i, is_code ? base : 0);
	}
}

static void leave_long_mode(void)
{
	l2_reset(VMCS_ENTRY_CONTROLS, ENTRY_IA32E_MODE_GUEST);
	if (vmx_allows(CONTROLS_ENTRY, ENTRY_LOAD_EFER))
		vmwrite(VMCS_GUEST_EFER, 0);
}

static void run_small_program(u64 rip)
{
	vmwrite(VMCS_GUEST_RIP, rip);
	suite_l2.rax = 0xffffffffffffffffull;
	if (!suite_run(EXIT_CPUID))
		return;
	suite_expect(vmread(VMCS_GUEST_RIP), rip, "RIP");
	suite_expect(vmread(VMCS_EXIT_INSTRUCTION_LENGTH), 2, "the length");
	l2_skip(&suite_l2);
	suite_run(EXIT_VMCALL);
	suite_expect(vmread(VMCS_GUEST_RIP), rip + 2, "RIP");
}

static bool can_be_unrestricted(void)
{
	return vmx_allows(CONTROLS_SECONDARY,
			  SECONDARY_UNRESTRICTED_GUEST | SECONDARY_EPT);
}

static void real_mode(void)
{
	u8 *page = (u8 *)pages_take(1);

	if (!can_be_unrestricted())
		return;
	suite_case("real_mode");
	memcpy(page + 0x40, small_program, sizeof(small_program));
	make(&(struct l2_controls){.secondary = SECONDARY_UNRESTRICTED_GUEST},
	     do_nothing);
	leave_long_mode();
	l2_reset(VMCS_GUEST_CR0, CR0_PE | CR0_PG);
	write_segments(CODE_16, DATA_16, 0xffff, (u64)page);
	run_small_program(0x40);
	suite_expect(vmread(VMCS_GUEST_CR0) & (CR0_PE | CR0_PG), 0, "CR0");
}

/* mov ax, [0xffff]: beyond the limit. */
static const u8 fault_program[] = {0xa1, 0xff, 0xff};

/* SDM vol. 3, "Information for VM Exits Due to Vectored Events": in real mode
 * no exception has an error code. */
static void exception_in_real_mode(void)
{
	u8 *page = (u8 *)pages_take(1);

	if (!can_be_unrestricted())
		return;
	suite_case("exception_in_real_mode");
	memcpy(page + 0x40, fault_program, sizeof(fault_program));
	make(&(struct l2_controls){.secondary = SECONDARY_UNRESTRICTED_GUEST},
	     do_nothing);
	leave_long_mode();
	l2_reset(VMCS_GUEST_CR0, CR0_PE | CR0_PG);
	write_segments(CODE_16, DATA_16, 0xffff, (u64)page);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_GP));
	vmwrite(VMCS_GUEST_RIP, 0x40);
	suite_defect_below("real-error-code");
	suite_run(EXIT_EXCEPTION_OR_NMI);
	suite_expect(vmread(VMCS_EXIT_INTERRUPTION_INFO),
		     EVENT_VALID | EVENT_HARDWARE_EXCEPTION << 8 | VECTOR_GP,
		     "the interruption information");
}

static void protected_mode_without_paging(void)
{
	u8 *page = (u8 *)pages_take(1);

	if (!can_be_unrestricted())
		return;
	suite_case("protected_mode_without_paging");
	memcpy(page, small_program, sizeof(small_program));
	make(&(struct l2_controls){.secondary = SECONDARY_UNRESTRICTED_GUEST},
	     do_nothing);
	leave_long_mode();
	l2_reset(VMCS_GUEST_CR0, CR0_PG);
	write_segments(CODE_32, DATA_32, 0xffffffff, 0);
	run_small_program((u64)page);
}

/* Paging on, CPUID, paging off, CPUID, VMCALL; in 32-bit code. */
static const u8 paging_program[] = {
    0x0f, 0x20, 0xc0, 0x0d, 0x00, 0x00, 0x00, 0x80, 0x0f, 0x22,
    0xc0, 0x0f, 0xa2, 0x0f, 0x20, 0xc0, 0x25, 0xff, 0xff, 0xff,
    0x7f, 0x0f, 0x22, 0xc0, 0x0f, 0xa2, 0x0f, 0x01, 0xc1,
};

/* L1 sees the mode, and changes something else in the VMCS. */
static void expect_long_mode(u64 efer)
{
	if (!suite_run(EXIT_CPUID))
		return;
	suite_expect(vmread(VMCS_GUEST_EFER), efer, "EFER");
	suite_expect(vmread(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST,
		     efer & EFER_LMA ? ENTRY_IA32E_MODE_GUEST : 0, "the mode");
	vmwrite(VMCS_GUEST_SYSENTER_CS, vmread(VMCS_GUEST_SYSENTER_CS) ^ 1);
	l2_skip(&suite_l2);
}

/* SDM vol. 3, "Recording VM-Exit Information and Updating VM-entry Control
 * Fields": an exit saves IA32_EFER.LMA in the control. */
static void mode_that_l2_changes_by_itself(void)
{
	u8 *page = (u8 *)pages_take(1);

	if (!can_be_unrestricted() ||
	    !vmx_allows(CONTROLS_ENTRY, ENTRY_LOAD_EFER) ||
	    !vmx_allows(CONTROLS_EXIT, EXIT_SAVE_EFER))
		return;
	suite_case("mode_that_l2_changes_by_itself");
	memcpy(page, paging_program, sizeof(paging_program));
	make(&(struct l2_controls){.secondary = SECONDARY_UNRESTRICTED_GUEST,
				   .entry = ENTRY_LOAD_EFER,
				   .exit = EXIT_SAVE_EFER},
	     do_nothing);
	leave_long_mode();
	vmwrite(VMCS_GUEST_EFER, EFER_LME);
	l2_reset(VMCS_GUEST_CR0, CR0_PG);
	write_segments(CODE_32, DATA_32, 0xffffffff, 0);
	vmwrite(VMCS_GUEST_RIP, (u64)page);
	expect_long_mode(EFER_LME | EFER_LMA);
	expect_long_mode(EFER_LME);
	suite_run(EXIT_VMCALL);
}

/* The directories of L1's identity map serve PAE paging as well. */
static u64 *pae_pointers(void)
{
	const u64 *pml4 = (const u64 *)(read_cr3() & PAGE_ADDRESS);
	const u64 *pdpt = (const u64 *)(pml4[0] & PAGE_ADDRESS);
	u64 *pointers = (u64 *)pages_take(1);

	for (u32 i = 0; i < 4; i++)
		pointers[i] = (pdpt[i] & PAGE_ADDRESS) | PAGE_PRESENT;
	return pointers;
}

static u64 *make_pae(void)
{
	u64 *pointers = pae_pointers();

	make(&(struct l2_controls){0}, do_nothing);
	leave_long_mode();
	write_segments(CODE_32, DATA_32, 0xffffffff, 0);
	vmwrite(VMCS_GUEST_CR3, (u64)pointers);
	return pointers;
}

static void write_pdptes(const u64 *pointers)
{
	for (u32 i = 0; i < 4; i++)
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, pointers[i]);
}

static void pae_paging(void)
{
	u8 *page = (u8 *)pages_take(1);
	u64 *pointers;

	suite_case("pae_paging");
	memcpy(page, small_program, sizeof(small_program));
	pointers = make_pae();
	if (suite_ept12.root)
		write_pdptes(pointers);
	/* With EPT they come from the VMCS, not from memory. */
	if (suite_ept12.root)
		memset(pointers, 0xff, 4 * sizeof(*pointers));
	run_small_program((u64)page);
	if (suite_ept12.root)
		suite_expect(vmread(VMCS_GUEST_PDPTE0) & PAGE_PRESENT,
			     PAGE_PRESENT, "the PDPTE that is saved");
}

static void bad_pdpte(void)
{
	u64 *pointers;

	if (!suite_ept12.root)
		return;
	suite_case("pdpte_with_reserved_bits");
	pointers = make_pae();
	pointers[2] |= BIT(1);
	write_pdptes(pointers);
	suite_run((u32)(EXIT_ENTRY_GUEST_STATE | EXIT_REASON_ENTRY_FAILED));
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), 2, "the qualification");
}

/*
 * A MOV to CR0 that changes CD loads the PDPTEs: from where EPT12 has the table
 * that CR3 is the L2-physical address of.
 */
static const u8 cd_program[] = {
    0x0f, 0x20, 0xc0,             /* mov eax, cr0 */
    0x0d, 0x00, 0x00, 0x00, 0x40, /* or eax, CD */
    0x0f, 0x22, 0xc0,             /* mov cr0, eax */
    0x0f, 0x01, 0xc1,             /* vmcall */
};
#define CD_MOV    8 /* the instruction that loads */
#define CD_ALIAS  (3 * GIB)
#define CD_UNUSED 3 /* a PDPTE that the program needs not */

/* An L2 whose CR3 is an address where L1 has something else, or nothing. */
static struct ept12 cd_ept;

static void make_cd_case(u64 *code)
{
	u64 *pointers = make_pae();

	memcpy(code, cd_program, sizeof(cd_program));
	ept12_make(&cd_ept);
	ept12_identity(&cd_ept, CD_ALIAS, EPT12_2M);
	ept12_map(&cd_ept,
		  &(struct ept12_range){.l2 = CD_ALIAS,
					.l1 = (u64)pointers,
					.bytes = PAGE_BYTES,
					.level = EPT12_4K,
					.rights = EPT12_RWX | EPT12_TYPE_WB});
	vmwrite(VMCS_EPT_POINTER, cd_ept.pointer);
	vmwrite(VMCS_GUEST_RIP, (u64)code);
	vmwrite(VMCS_GUEST_CR3, CD_ALIAS);
	write_pdptes(pointers);
	vmwrite(VMCS_GUEST_PDPTE0 + 2 * CD_UNUSED, pointers[0]);
	pointers[CD_UNUSED] = 0;
}

static void pdptes_are_loaded_through_ept(void)
{
	u64 *code = (u64 *)pages_take(1);

	if (!suite_ept12.root)
		return;
	suite_case("pdptes_are_loaded_through_ept");
	make_cd_case(code);
	suite_run(EXIT_VMCALL);
	suite_expect(vmread(VMCS_GUEST_PDPTE0 + 2 * CD_UNUSED), 0,
		     "the PDPTE that L2 has loaded");
	write_cr0(read_cr0() & ~CR0_CD);
}

static void pdptes_without_ept_violate(void)
{
	u64 *code = (u64 *)pages_take(1);

	if (!suite_ept12.root)
		return;
	suite_case("pdptes_without_ept_violate");
	make_cd_case(code);
	*ept12_entry(&cd_ept, CD_ALIAS, EPT12_4K) = 0;
	(void)invept(INVEPT_ALL, 0, 0);
	if (!suite_run(EXIT_EPT_VIOLATION))
		return;
	/* It is no access by a linear address. */
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION) & 0x1ff, EPT12_R,
		     "the qualification");
	suite_expect(vmread(VMCS_GUEST_PHYSICAL_ADDRESS), CD_ALIAS,
		     "the physical address");
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)code + CD_MOV, "RIP");
}

/* --- Task switches -------------------------------------------------------- */

/* A GDT of a 32-bit L2: code, data, its TSS and another. */
static u64 *task_gdt(void)
{
	u64 *gdt = (u64 *)pages_take(1);

	gdt[1] = 0x00cf9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	gdt[3] = 0x00008b0000000067 | (u64)(gdt + 64) << 16;
	gdt[4] = 0x0000890000000067 | (u64)(gdt + 128) << 16;
	return gdt;
}

static void task_switch(const char *name, u8 opcode, u64 source)
{
	u8 *page = (u8 *)pages_take(1);
	u64 *pointers;
	/* A far jump or call, whose selector is the other TSS. */
	u8 far[] = {opcode, 0, 0, 0, 0, 0x20, 0};

	suite_case(name);
	memcpy(page, far, sizeof(far));
	pointers = make_pae();
	if (suite_ept12.root)
		write_pdptes(pointers);
	vmwrite(VMCS_GUEST_GDTR_BASE, (u64)task_gdt());
	vmwrite(VMCS_GUEST_GDTR_LIMIT, 5 * 8 - 1);
	vmwrite(VMCS_GUEST_RIP, (u64)page);
	vmwrite(VMCS_GUEST_TR_SELECTOR, 0x18);
	if (!suite_run(EXIT_TASK_SWITCH))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION),
		     0x20 | source << TASK_SWITCH_SOURCE, "the qualification");
	suite_expect(vmread(VMCS_EXIT_INSTRUCTION_LENGTH), sizeof(far),
		     "the length");
	suite_expect(vmread(VMCS_GUEST_RIP), (u64)page, "RIP");
	suite_expect(vmread(VMCS_GUEST_TR_SELECTOR), 0x18, "TR");
}

/* By a task gate, in the delivery of an event; by IRET with NT. */
static u64 *make_task_case(const u8 *code, u64 bytes)
{
	u8 *page = (u8 *)pages_take(1);
	u64 *gdt = task_gdt(), *idt = (u64 *)pages_take(1);
	u64 *pointers;

	memcpy(page, code, bytes);
	pointers = make_pae();
	if (suite_ept12.root)
		write_pdptes(pointers);
	idt[VECTOR_BP] = 0x0000850000200000;
	vmwrite(VMCS_GUEST_GDTR_BASE, (u64)gdt);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, 5 * 8 - 1);
	vmwrite(VMCS_GUEST_IDTR_BASE, (u64)idt);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0xff);
	vmwrite(VMCS_GUEST_RIP, (u64)page);
	vmwrite(VMCS_GUEST_TR_SELECTOR, 0x18);
	vmwrite(VMCS_GUEST_TR_BASE, (u64)(gdt + 64));
	return gdt;
}

static void task_switch_by_gate(void)
{
	static const u8 int3[] = {0xcc};

	suite_case("task_switch_by_gate");
	make_task_case(int3, sizeof(int3));
	if (!suite_run(EXIT_TASK_SWITCH))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION),
		     0x20 | 3ull << TASK_SWITCH_SOURCE, "the qualification");
	suite_expect(
	    vmread(VMCS_IDT_VECTORING_INFO) & (BITS(11, 0) | EVENT_VALID),
	    EVENT_VALID | (u64)EVENT_SOFTWARE_EXCEPTION << 8 | VECTOR_BP,
	    "the IDT-vectoring information");
	suite_expect(vmread(VMCS_EXIT_INSTRUCTION_LENGTH), 1, "the length");
}

static void task_switch_by_iret(void)
{
	static const u8 iret[] = {0xcf};
	u64 *gdt;

	suite_case("task_switch_by_iret");
	gdt = make_task_case(iret, sizeof(iret));
	gdt[4] |= BIT(41); /* busy */
	gdt[64] = 0x20;    /* the link to it */
	l2_set(VMCS_GUEST_RFLAGS, BIT(14));
	if (!suite_run(EXIT_TASK_SWITCH))
		return;
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION),
		     0x20 | 1ull << TASK_SWITCH_SOURCE, "the qualification");
	suite_expect(vmread(VMCS_IDT_VECTORING_INFO) & EVENT_VALID, 0,
		     "the IDT-vectoring information");
	suite_expect(vmread(VMCS_EXIT_INSTRUCTION_LENGTH), 1, "the length");
}

/* --- A shadow VMCS -------------------------------------------------------- */

static volatile u64 shadow_read;
static volatile u32 shadow_did[3];

static void use_shadow(void)
{
	u64 value = 0;

	shadow_did[0] = vmread_try(VMCS_GUEST_RIP, &value);
	shadow_read = value;
	shadow_did[1] = vmwrite_try(VMCS_GUEST_RSP, MARK(51));
	value = 0;
	shadow_did[2] = vmread_try(0x6bfe, &value);
}

/* A shadow VMCS that holds RIP. It is current nowhere when it is used. */
static u64 make_shadow(void)
{
	u64 shadow = vmx_region();

	vmclear(shadow);
	vmptrld(shadow);
	vmwrite(VMCS_GUEST_RIP, MARK(50));
	vmclear(shadow);
	*(volatile u32 *)shadow |= (u32)BIT(31);
	return shadow;
}

/* Back from a shadow to a plain VMCS, whose fields can be read. */
static u64 field_of_shadow(u64 shadow, enum vmcs_field field)
{
	u64 value;

	vmclear(shadow);
	*(volatile u32 *)shadow &= ~(u32)BIT(31);
	vmptrld(shadow);
	value = vmread(field);
	l2_use(&suite_l2);
	return value;
}

static void shadow_vmcs(void)
{
	u8 *bitmaps = (u8 *)pages_take(2);
	u64 shadow;

	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING))
		return;
	suite_case("shadow_vmcs");
	shadow = make_shadow();
	make(&(struct l2_controls){.secondary = SECONDARY_VMCS_SHADOWING},
	     use_shadow);
	vmwrite(VMCS_LINK_POINTER, shadow);
	vmwrite(VMCS_VMREAD_BITMAP, (u64)bitmaps);
	vmwrite(VMCS_VMWRITE_BITMAP, (u64)bitmaps + PAGE_BYTES);
	suite_finish();
	suite_expect(shadow_did[0], VMX_OK, "VMREAD in L2");
	suite_expect(shadow_read, MARK(50), "what it reads");
	suite_expect(shadow_did[1], VMX_OK, "VMWRITE in L2");
	suite_expect(shadow_did[2], VMX_FAIL_VALID, "VMREAD of no field");
	suite_expect(vmread(VMCS_INSTRUCTION_ERROR),
		     VMX_ERROR_UNSUPPORTED_FIELD, "its error, told to L1");
	suite_expect(field_of_shadow(shadow, VMCS_GUEST_RSP), MARK(51),
		     "what L2 has written");
	suite_expect(field_of_shadow(shadow, VMCS_INSTRUCTION_ERROR), 0,
		     "the error in the VMCS that L2 accessed");
}

static void shadowed_field_that_exits(void)
{
	u8 *bitmaps = (u8 *)pages_take(2);
	u64 shadow;

	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING))
		return;
	suite_case("shadowed_field_that_exits");
	shadow = make_shadow();
	make(&(struct l2_controls){.secondary = SECONDARY_VMCS_SHADOWING},
	     use_shadow);
	bitmaps[VMCS_GUEST_RIP / 8] |= (u8)(1u << VMCS_GUEST_RIP % 8);
	vmwrite(VMCS_LINK_POINTER, shadow);
	vmwrite(VMCS_VMREAD_BITMAP, (u64)bitmaps);
	vmwrite(VMCS_VMWRITE_BITMAP, (u64)bitmaps + PAGE_BYTES);
	suite_run(EXIT_VMREAD);
	l2_skip(&suite_l2);
	suite_finish();
	vmclear(shadow);
}

/* Its memory operand is where EPT maps nothing: before anything is done. */
static volatile u64 *hole;

static void read_shadow_into_hole(void)
{
	shadow_did[0] = vmread_to(VMCS_GUEST_RIP, hole);
}

static void shadow_read_violates_ept(void)
{
	u8 *bitmaps = (u8 *)pages_take(2);
	struct ept12 ept;
	u64 shadow;

	if (!vmx_allows(CONTROLS_SECONDARY,
			SECONDARY_VMCS_SHADOWING | SECONDARY_EPT))
		return;
	suite_case("shadow_read_violates_ept");
	hole = (volatile u64 *)pages_take(1);
	shadow = make_shadow();
	ept12_make(&ept);
	ept12_identity(&ept, 4 * GIB, EPT12_2M);
	*ept12_entry(&ept, (u64)hole, EPT12_4K) = 0;
	make(&(struct l2_controls){.secondary =
				       SECONDARY_VMCS_SHADOWING | SECONDARY_EPT,
				   .ept_pointer = ept.pointer},
	     read_shadow_into_hole);
	vmwrite(VMCS_LINK_POINTER, shadow);
	vmwrite(VMCS_VMREAD_BITMAP, (u64)bitmaps);
	vmwrite(VMCS_VMWRITE_BITMAP, (u64)bitmaps + PAGE_BYTES);
	suite_run(EXIT_EPT_VIOLATION);
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION) & 0x1ff,
		     EPT12_W | BITS(8, 7), "the qualification");
	suite_expect(vmread(VMCS_GUEST_LINEAR_ADDRESS), (u64)hole,
		     "the linear address");
	suite_expect(vmread(VMCS_GUEST_PHYSICAL_ADDRESS), (u64)hole,
		     "the physical address");
	*ept12_entry(&ept, (u64)hole, EPT12_4K) =
	    (u64)hole | EPT12_RWX | EPT12_TYPE_WB;
	suite_defect("resume-flag");
	suite_expect(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_RF, RFLAGS_RF, "RF");
	suite_finish();
	suite_expect(*hole, MARK(50), "what it has read");
	vmclear(shadow);
}

static void link_to_a_plain_vmcs(void)
{
	u64 plain = vmx_region();

	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING))
		return;
	suite_case("link_to_a_plain_vmcs");
	make(&(struct l2_controls){.secondary = SECONDARY_VMCS_SHADOWING},
	     do_nothing);
	vmwrite(VMCS_LINK_POINTER, plain);
	vmwrite(VMCS_VMREAD_BITMAP, pages_take(1));
	vmwrite(VMCS_VMWRITE_BITMAP, pages_take(1));
	suite_run((u32)(EXIT_ENTRY_GUEST_STATE | EXIT_REASON_ENTRY_FAILED));
	suite_expect(vmread(VMCS_EXIT_QUALIFICATION), 4, "the qualification");
}

void suite_state(void)
{
	guest_state_is_saved();
	host_state_is_loaded();
	pat_and_efer_are_switched();
	what_no_control_asks_for_is_not_switched();
	msr_areas();
	msr_areas_of_the_recommended_size();
	tsc_is_offset();
	tsc_is_scaled();
	tsc_is_moved_back();
	timer_counts_increments();
	unswitched_registers_pass_through();
	general_registers_pass_through();
	two_l2s_in_turn();
	real_mode();
	exception_in_real_mode();
	protected_mode_without_paging();
	mode_that_l2_changes_by_itself();
	pae_paging();
	bad_pdpte();
	pdptes_are_loaded_through_ept();
	pdptes_without_ept_violate();
	task_switch("task_switch_by_jump", 0xea, 2);
	task_switch("task_switch_by_call", 0x9a, 0);
	task_switch_by_gate();
	task_switch_by_iret();
	shadow_vmcs();
	shadowed_field_that_exits();
	shadow_read_violates_ept();
	link_to_a_plain_vmcs();
}
