/* SPDX-License-Identifier: MIT */
/*
 * Random VMCSs and small L2 programs, one per seed: what comes of each is one
 * line, which must be the same on every machine.
 *
 *	first=N  the first seed (default 1)
 *	count=N  how many (default 100)
 *	         Seeds from 100000 on go further: MSR areas, more kinds of events
 *	         and of odd values, virtual-8086 and compatibility mode, CPL 3.
 *	show=N   shows everything that counts of this seed; `verbose`: of all
 *
 *	DIFF seed=7 exits=3 last=0x12 digest=0123456789abcdef
 *
 * An L2 that does not end by itself is stopped; its line says endless instead
 * of a digest, since where it is then is a matter of time. The generator is in
 * guests/diff/, which says what is left out and why.
 */
#include "guests/diff/diff.h"

#define EXITS_MAX    20u
#define PAT_AT_RESET 0x0007040600070406ull

static struct diff_case the_case;

/* An exit that L1 answers by going on behind the instruction. */
static void answer_instruction(struct diff_case *c, u32 reason)
{
	c->l2.rax = reason;
	if (reason == EXIT_CPUID || reason == EXIT_RDMSR)
		c->l2.rdx = 0x1000 + reason;
	l2_skip(&c->l2);
	/* What an instruction that is done leaves behind. */
	l2_reset(VMCS_GUEST_INTERRUPTIBILITY,
		 BLOCKING_BY_STI | BLOCKING_BY_MOV_SS);
}

/* The event whose delivery the exit has cut short, once more. */
static void deliver_again(void)
{
	u64 info = vmread(VMCS_IDT_VECTORING_INFO);

	if (!(info & EVENT_VALID))
		return;
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, info & ~EVENT_NMI_UNBLOCKING);
	vmwrite(VMCS_ENTRY_EXCEPTION_ERROR_CODE,
		vmread(VMCS_IDT_VECTORING_ERROR_CODE));
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH,
		vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
	if (event_type((u32)info) == EVENT_NMI)
		l2_reset(VMCS_GUEST_INTERRUPTIBILITY, BLOCKING_BY_NMI);
}

/* Gives all rights in the scratch pages; false: it was elsewhere. */
static bool repair_ept(struct diff_case *c)
{
	u64 offset =
	    vmread(VMCS_GUEST_PHYSICAL_ADDRESS) - (DIFF_WORLD + DIFF_SCRATCH);
	u64 page = offset / PAGE_BYTES;
	volatile u64 *leaf;

	if (page >= DIFF_SCRATCH_PAGES)
		return false;
	leaf = diff_scratch_leaf(c, (u32)page);
	*leaf = (DIFF_WORLD + DIFF_SCRATCH + page * PAGE_BYTES) |
		(*leaf & (EPT12_A | EPT12_D)) | EPT12_RWX | EPT12_TYPE_WB;
	invept(INVEPT_SINGLE, vmread(VMCS_EPT_POINTER), 0);
	return true;
}

static bool go_on_after(struct diff_case *c, u32 reason)
{
	switch (reason) {
	case EXIT_EXCEPTION_OR_NMI:
	case EXIT_TRIPLE_FAULT:
	case EXIT_TASK_SWITCH:
	case EXIT_VMCALL:
		return false;
	case EXIT_EPT_VIOLATION:
	case EXIT_EPT_MISCONFIGURATION:
		return repair_ept(c);
	case EXIT_INTERRUPT_WINDOW:
		vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
		l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_INTERRUPT_WINDOW);
		return true;
	case EXIT_NMI_WINDOW:
		vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
		l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_NMI_WINDOW);
		return true;
	case EXIT_PML_FULL:
		vmwrite(VMCS_PML_INDEX, 511);
		return true;
	case EXIT_TPR_BELOW_THRESHOLD:
		vmwrite(VMCS_TPR_THRESHOLD, 0);
		return true;
	default:
		if (reason >= EXIT_REASON_COUNT)
			return false;
		answer_instruction(c, reason);
		return true;
	}
}

/* Returns the last exit's reason. */
static u32 run(struct diff_case *c)
{
	u32 reason;

	do {
		reason = l2_run(&c->l2);
		if (reason == EXIT_PREEMPTION_TIMER)
			return reason;
		diff_note_exit(c, reason);
		c->exits++;
		if (reason < EXIT_REASON_COUNT)
			deliver_again();
	} while (go_on_after(c, reason) && c->exits < EXITS_MAX);
	return reason;
}

/* The trap handler ends in an IRET. */
static void trap(void)
{
	register u32 fault __asm__("r8");

	__asm__ volatile(TRY("ud2") : "=&r"(fault)::"memory");
}

/*
 * An exit leaves NMIs blocked where L2 had them so, until an IRET. In Bochs 2.7
 * virtual NMIs stay blocked, too, whatever the next VMCS says, until an IRET of
 * an L2 that has them.
 */
static void unblock_nmis(struct diff_case *c)
{
	trap();
	l2_remake(&c->l2,
		  &(struct l2_controls){.pin = PIN_NMI | PIN_VIRTUAL_NMIS});
	l2_begin(&c->l2, trap);
	l2_run(&c->l2);
}

/* A seed's outcome depends on nothing that the seeds before have left. */
static void begin(struct diff_case *c, u64 seed)
{
	c->seed = seed;
	c->exits = 0;
	c->oddities = 0;
	c->digest = 0xcbf29ce484222325ull;
	c->is_shown =
	    boot_number("show", 0) == seed || boot_has_word("verbose");
	c->controls = (struct l2_controls){0};
	diff_random_begin(&c->random, seed);
	write_cr0(read_cr0() & ~(CR0_CD | CR0_NW));
	unblock_nmis(c);
	write_cr2(0);
	wrmsr(MSR_PAT, PAT_AT_RESET);
	wrmsr(MSR_LSTAR, 0);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	__asm__ volatile("mov %0, %%dr0" ::"r"(0ull));
	__asm__ volatile("mov %0, %%dr6" ::"r"(0xffff0ff0ull));
}

static void do_seed(u64 seed)
{
	struct diff_case *c = &the_case;
	u32 last;

	begin(c, seed);
	diff_choose_controls(c);
	diff_world_make(c);
	diff_write_vmcs(c);
	diff_write_program(c);
	diff_widen(c);
	diff_disturb(c);
	diff_show_start(c);
	last = run(c);
	if (last == EXIT_PREEMPTION_TIMER) {
		print("DIFF seed=%lu endless\n", seed);
		return;
	}
	diff_note_end(c);
	print("DIFF seed=%lu exits=%lu last=%#x digest=%016lx\n", seed,
	      c->exits, last, c->digest);
}

u8 guest_main(void)
{
	u64 first = boot_number("first", 1);
	u64 count = boot_number("count", 100);

	if (!vmx_is_there() || vmx_on() != VMX_OK) {
		check(false, "vmx_on", "this CPU has no VMX to use");
		return result_print();
	}
	diff_world_begin();
	ept12_make(&the_case.ept);
	l2_make(&the_case.l2, &the_case.controls);
	for (u64 seed = first; seed < first + count; seed++)
		do_seed(seed);
	check(true, "done", "-");
	return result_print();
}
