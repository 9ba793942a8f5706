/* SPDX-License-Identifier: MIT */
/*
 * What VMX costs a hypervisor that is a guest: one line each for the
 * benchmarks, as bench_print() writes it (guests/lib/bench.h).
 *
 *	n=N          how often each instruction or exit is done (default 2000)
 *	pages=N      how many pages L2 writes (default 4096, a multiple of 512)
 *
 * L2 is one program that asks L1 what to do next. For the rows of pages it runs
 * on EPT of 4K leaves, made anew for each group of rows, so that whoever
 * shadows it begins cold; `_ad` stands for EPT with accessed and dirty bits.
 *
 *	cold         all pages are mapped; L2 writes each for the first time
 *	warm         the same again
 *	after_invept once more after an INVEPT; nothing had changed
 *	read, write  each page is read, then written for the first time
 *	violation    no page is mapped; L1 maps each when L2 writes it
 *	protect      64 times L1 protects a page, INVEPT, unprotects it, INVEPT;
 *	             the figure is per such round
 *	after_protect then L2 writes all pages
 *	log_write    L2 writes each page for the first time since Umbra's log
 *	             was harvested; log_again: once more
 *	pml          L1 logs L2's writes itself; each page is written once
 */
#include "guests/lib/ept12.h"
#include "guests/lib/guest.h"
#include "guests/lib/l2.h"
#include "guests/lib/pages.h"
#include "lib/fmt.h"

#define PAGES_PER_TABLE 512u
#define PROTECT_ROUNDS  64u
#define PML_ENTRIES     512u
#define PML_LAST        (PML_ENTRIES - 1)

/* What L1 answers to L2's call for work; L2_CALL_USER asks. */
enum task {
	TASK_CPUID,
	TASK_VMCALL,
	TASK_WRITE,
	TASK_READ,
};

static struct l2 l2;
static struct ept12 plain; /* all memory in large pages */
static u64 count, page_count;
static volatile u8 *area;
static u64 other_vmcs;

/* --- L2 ------------------------------------------------------------------- */

/* Four instructions for each page. */
static NOINLINE void write_pages(void)
{
	volatile u8 *end = area + page_count * PAGE_BYTES;

	for (volatile u8 *at = area; at < end; at += PAGE_BYTES)
		*at = 1;
}

static NOINLINE void read_pages(void)
{
	volatile u8 *end = area + page_count * PAGE_BYTES;

	for (volatile u8 *at = area; at < end; at += PAGE_BYTES)
		(void)*at;
}

/* With no registers to save around it, as a compiler would. */
static NOINLINE void do_cpuids(void)
{
	u64 left = count;

	__asm__ volatile("1: cpuid\n\t"
			 "dec %0\n\t"
			 "jnz 1b"
			 : "+S"(left)
			 :
			 : "rax", "rbx", "rcx", "rdx");
}

static NOINLINE void do_vmcalls(void)
{
	u64 left = count;

	__asm__ volatile("1: vmcall\n\t"
			 "dec %0\n\t"
			 "jnz 1b"
			 : "+S"(left)
			 :
			 : "rax", "rbx", "rcx", "rdx");
}

static void program(void)
{
	for (;;) {
		switch ((enum task)l2_call(L2_CALL_USER, 0)) {
		case TASK_CPUID:
			do_cpuids();
			break;
		case TASK_VMCALL:
			do_vmcalls();
			break;
		case TASK_WRITE:
			write_pages();
			break;
		case TASK_READ:
			read_pages();
			break;
		}
	}
}

/* --- L1: exits ------------------------------------------------------------ */

static bool expect(u32 found, u32 reason, const char *when)
{
	if (found != reason)
		check(false, when, "exit reason %#x, error %lu", found,
		      vmread(VMCS_INSTRUCTION_ERROR));
	return found == reason;
}

/* L2 has asked for work, and gets it at the next entry. */
static void give(enum task task)
{
	l2.rax = task;
	l2_skip(&l2);
}

static void run_to_call(const char *name)
{
	expect(l2_run(&l2), EXIT_VMCALL, name);
}

/* What a hypervisor does at an exit that it answers. */
static u32 run_and_skip(void)
{
	u32 did = l2_enter(&l2);
	u64 reason = vmread(VMCS_EXIT_REASON);

	vmwrite(VMCS_GUEST_RIP,
		vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
	return did ? L2_NOT_ENTERED : (u32)reason;
}

static void measure_answered(const char *name, enum task task, u32 reason)
{
	struct bench_cost cost;
	u64 wrong = 0;

	give(task);
	bench_begin(&cost);
	for (u64 i = 0; i < count; i++)
		wrong += run_and_skip() != reason;
	bench_end(&cost);
	bench_print(name, &cost, count);
	check(!wrong, name, "%lu of %lu exits are others", wrong, count);
	run_to_call(name);
}

static inline void touch_nothing(void)
{
}

static void touch_five_fields(void)
{
	vmread(VMCS_HOST_RIP);
	vmread(VMCS_GUEST_CR3);
	vmread(VMCS_GUEST_CS_SELECTOR);
	vmread(VMCS_GUEST_IDTR_BASE);
	vmwrite(VMCS_TSC_OFFSET, 0);
}

static void switch_there_and_back(void)
{
	vmptrld(other_vmcs);
	vmptrld(l2.vmcs);
}

/* L2 stays at its CPUID, so that L1 need not touch a field to go on. */
static void measure_unanswered(const char *name, void (*between)(void))
{
	struct bench_cost cost;

	give(TASK_CPUID);
	run_and_skip();
	bench_begin(&cost);
	for (u64 i = 0; i < count; i++) {
		l2_enter(&l2);
		between();
	}
	bench_end(&cost);
	bench_print(name, &cost, count);
	expect((u32)vmread(VMCS_EXIT_REASON), EXIT_CPUID, name);
	for (u64 i = 1; i < count; i++)
		l2_skip(&l2), l2_run(&l2);
	run_to_call(name);
}

static void measure_first_entry(void)
{
	struct bench_cost cost;

	l2_make(&l2, &(struct l2_controls){.secondary =
					       SECONDARY_EPT | SECONDARY_VPID,
					   .ept_pointer = plain.pointer});
	l2_begin(&l2, program);
	bench_begin(&cost);
	l2_enter(&l2);
	bench_end(&cost);
	bench_print("first_vmlaunch", &cost, 1);
	expect((u32)vmread(VMCS_EXIT_REASON), EXIT_VMCALL, "first_vmlaunch");
}

static void measure_exits(void)
{
	measure_unanswered("exit_no_field", touch_nothing);
	measure_answered("exit_cpuid", TASK_CPUID, EXIT_CPUID);
	measure_answered("exit_vmcall", TASK_VMCALL, EXIT_VMCALL);
	measure_unanswered("exit_five_fields", touch_five_fields);
	measure_unanswered("exit_two_vmptrld", switch_there_and_back);
}

/* --- L1: instructions ----------------------------------------------------- */

static inline void do_cpuid(void)
{
	cpuid(0, 0);
}

static inline void read_guest_rip(void)
{
	vmread(VMCS_GUEST_RIP);
}

static u64 guest_rip, host_rip;

static inline void write_guest_rip(void)
{
	vmwrite(VMCS_GUEST_RIP, guest_rip);
}

static inline void read_host_rip(void)
{
	vmread(VMCS_HOST_RIP);
}

static inline void write_host_rip(void)
{
	vmwrite(VMCS_HOST_RIP, host_rip);
}

static inline void do_vmptrld(void)
{
	static bool odd;

	odd = !odd;
	vmptrld(odd ? other_vmcs : l2.vmcs);
}

static inline void clear_other(void)
{
	vmclear(other_vmcs);
}

static inline void store_pointer(void)
{
	u64 pointer;

	vmptrst_at(&pointer);
}

static inline void do_invept(void)
{
	invept(INVEPT_SINGLE, plain.pointer, 0);
}

static inline void do_invvpid(void)
{
	invvpid(INVVPID_SINGLE, 1, 0);
}

/* Without a call for each, which would be part of what is measured. */
static ALWAYS_INLINE void measure(const char *name, void (*operation)(void))
{
	struct bench_cost cost;

	operation();
	operation();
	bench_begin(&cost);
	for (u64 i = 0; i < count; i++)
		operation();
	bench_end(&cost);
	bench_print(name, &cost, count);
}

static void measure_instructions(void)
{
	guest_rip = vmread(VMCS_GUEST_RIP);
	host_rip = vmread(VMCS_HOST_RIP);
	measure("nothing", touch_nothing);
	measure("cpuid", do_cpuid);
	measure("vmread_guest_rip", read_guest_rip);
	measure("vmwrite_guest_rip", write_guest_rip);
	measure("vmread_host_rip", read_host_rip);
	measure("vmwrite_host_rip", write_host_rip);
	measure("vmptrld", do_vmptrld);
	l2_use(&l2);
	measure("vmclear_other", clear_other);
	measure("vmptrst", store_pointer);
	measure("invept", do_invept);
	measure("invvpid", do_invvpid);
}

/* --- L1: pages ------------------------------------------------------------ */

/* Large pages for all but the area, which has 4K leaves with `rights`. */
static void map_area(struct ept12 *ept, u64 rights, u64 pointer_bits)
{
	ept12_make(ept);
	ept12_identity(ept, 4 * GIB, EPT12_2M);
	ept->pointer |= pointer_bits;
	ept12_map(ept, &(struct ept12_range){
			   .l2 = (u64)area,
			   .l1 = (u64)area,
			   .bytes = page_count * PAGE_BYTES,
			   .level = EPT12_4K,
			   .rights = rights,
		       });
	vmwrite(VMCS_EPT_POINTER, ept->pointer);
}

/* One line: how long L2 takes for a task that it does without an exit. */
static void measure_task(const char *name, const char *suffix, enum task task)
{
	struct bench_cost cost;
	char full[40];

	fmt(full, sizeof(full), "%s%s", name, suffix);
	give(task);
	bench_begin(&cost);
	l2_enter(&l2);
	bench_end(&cost);
	bench_print(full, &cost, page_count);
	expect((u32)vmread(VMCS_EXIT_REASON), EXIT_VMCALL, full);
}

static void protect_once(struct ept12 *ept, u64 page)
{
	volatile u64 *entry =
	    ept12_entry(ept, (u64)area + page * PAGE_BYTES, EPT12_4K);

	*entry &= ~EPT12_W;
	invept(INVEPT_SINGLE, ept->pointer, 0);
	*entry |= EPT12_W;
	invept(INVEPT_SINGLE, ept->pointer, 0);
}

static void measure_protect(struct ept12 *ept, const char *suffix)
{
	struct bench_cost cost;
	char full[40];

	fmt(full, sizeof(full), "protect%s", suffix);
	bench_begin(&cost);
	for (u64 i = 0; i < PROTECT_ROUNDS; i++)
		protect_once(ept, i * page_count / PROTECT_ROUNDS);
	bench_end(&cost);
	bench_print(full, &cost, PROTECT_ROUNDS);
}

static void measure_writes(u64 pointer_bits, const char *suffix)
{
	struct ept12 ept;

	map_area(&ept, EPT12_RWX, pointer_bits);
	measure_task("cold", suffix, TASK_WRITE);
	measure_task("warm", suffix, TASK_WRITE);
	invept(INVEPT_SINGLE, ept.pointer, 0);
	measure_task("after_invept", suffix, TASK_WRITE);
	measure_protect(&ept, suffix);
	measure_task("after_protect", suffix, TASK_WRITE);
}

static void measure_read_then_write(void)
{
	struct ept12 ept;

	map_area(&ept, EPT12_RWX, EPT12_POINTER_AD);
	measure_task("read", "_ad", TASK_READ);
	measure_task("write", "_ad", TASK_WRITE);
}

/* L1 maps what L2 misses, if that is in the area. */
static bool handle_violation(volatile u64 **tables)
{
	u64 reason = vmread(VMCS_EXIT_REASON);
	u64 qualification = vmread(VMCS_EXIT_QUALIFICATION);
	u64 address = vmread(VMCS_GUEST_PHYSICAL_ADDRESS) & EPT12_ADDRESS;
	u64 page = (address - (u64)area) / PAGE_BYTES;

	if (reason != EXIT_EPT_VIOLATION || !(qualification & EPT12_W) ||
	    page >= page_count)
		return false;
	tables[page / PAGES_PER_TABLE][page % PAGES_PER_TABLE] =
	    address | EPT12_RWX | EPT12_TYPE_WB;
	return true;
}

/* The tables that hold the area's leaves, one after the other. */
static volatile u64 **leaf_tables(struct ept12 *ept)
{
	u64 table_count = page_count / PAGES_PER_TABLE;
	volatile u64 **tables =
	    (volatile u64 **)pages_take(table_count / PAGES_PER_TABLE + 1);

	for (u64 i = 0; i < table_count; i++)
		tables[i] = ept12_entry(ept, (u64)area + i * 2 * MIB, EPT12_4K);
	return tables;
}

static void measure_violations(u64 pointer_bits, const char *suffix)
{
	struct bench_cost cost;
	struct ept12 ept;
	char full[40];
	volatile u64 **tables;
	u64 violations = 0;

	fmt(full, sizeof(full), "violation%s", suffix);
	map_area(&ept, 0, pointer_bits);
	tables = leaf_tables(&ept);
	give(TASK_WRITE);
	bench_begin(&cost);
	while (!l2_enter(&l2) && handle_violation(tables))
		violations++;
	bench_end(&cost);
	bench_print(full, &cost, page_count);
	expect((u32)vmread(VMCS_EXIT_REASON), EXIT_VMCALL, full);
	check(violations == page_count, full, "%lu violations", violations);
}

static void measure_pml(void)
{
	struct bench_cost cost;
	struct ept12 ept;
	u64 full = 0;

	map_area(&ept, EPT12_RWX, EPT12_POINTER_AD);
	vmwrite(VMCS_PML_ADDRESS, pages_take(1));
	vmwrite(VMCS_PML_INDEX, PML_LAST);
	l2_set(VMCS_SECONDARY_CONTROLS, SECONDARY_PML);
	give(TASK_WRITE);
	bench_begin(&cost);
	while (!l2_enter(&l2) && vmread(VMCS_EXIT_REASON) == EXIT_PML_FULL) {
		vmwrite(VMCS_PML_INDEX, PML_LAST);
		full++;
	}
	bench_end(&cost);
	bench_print("pml", &cost, page_count);
	l2_reset(VMCS_SECONDARY_CONTROLS, SECONDARY_PML);
	expect((u32)vmread(VMCS_EXIT_REASON), EXIT_VMCALL, "pml");
	check(full >= page_count / PML_ENTRIES - 1, "pml",
	      "the log was full %lu times", full);
}

/* What Umbra's log adds: the same writes before, under it, and again. */
static void measure_log(void)
{
	struct bench_cost cost;
	struct ept12 ept;

	map_area(&ept, EPT12_RWX, EPT12_POINTER_AD);
	measure_task("before_log", "_ad", TASK_WRITE);
	bench_step(BENCH_LOG_BY_PML, &cost);
	bench_step(BENCH_HARVEST, &cost);
	/* Leaves for all, and none of them dirty. */
	measure_task("log_read", "_ad", TASK_READ);
	bench_step(BENCH_HARVEST, &cost);
	measure_task("log_write", "_ad", TASK_WRITE);
	measure_task("log_again", "_ad", TASK_WRITE);
	check(bench_step(BENCH_HARVEST, &cost) >= page_count, "log",
	      "fewer pages than were written");
	bench_step(BENCH_STOP_LOGGING, &cost);
	bench_step(BENCH_MERGE, &cost);
}

static void measure_pages(void)
{
	bool has_ad = vmx_ept_capability() & EPT_CAP_ACCESSED_DIRTY;

	measure_writes(0, "");
	measure_violations(0, "");
	if (!has_ad)
		return;
	measure_writes(EPT12_POINTER_AD, "_ad");
	measure_violations(EPT12_POINTER_AD, "_ad");
	measure_read_then_write();
	if (bench_counts())
		measure_log();
	if (vmx_allows(CONTROLS_SECONDARY, SECONDARY_PML))
		measure_pml();
}

static bool set_up(void)
{
	count = boot_number("n", 2000);
	page_count = align_up(boot_number("pages", 4096), PAGES_PER_TABLE);
	if (!count || !page_count || !vmx_is_there() || vmx_on() != VMX_OK ||
	    !vmx_allows(CONTROLS_SECONDARY, SECONDARY_EPT | SECONDARY_VPID)) {
		check(false, "set_up", "no VMX, EPT or VPID; or nothing to do");
		return false;
	}
	ept12_make(&plain);
	ept12_identity(&plain, 4 * GIB, EPT12_2M);
	area = (volatile u8 *)pages_take_aligned(page_count, 2 * MIB);
	other_vmcs = vmx_region();
	vmclear(other_vmcs);
	return true;
}

u8 guest_main(void)
{
	if (!set_up())
		return result_print();
	measure_first_entry();
	measure_instructions();
	measure_exits();
	measure_pages();
	check(true, "measured", "-");
	return result_print();
}
