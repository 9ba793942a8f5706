/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor that is, one after the other, wherever a hypervisor can be, so
 * that whoever looks at it at each VM exit (record.at=exits) meets all of it:
 * in L1 without a current VMCS, with one, before and after VMLAUNCH; an entry
 * pending, with an event and without; in L2; L2 halted; an event in the middle
 * of its delivery; an exception for L2, and one for L1; an exit for L1 that
 * waits; NMIs blocked, and held; L1's preemption timer counting; L1's log part full; an
 * EPT entry that L1 has changed and not invalidated; a linked shadow VMCS.
 *
 *	mtf	L1 steps L2 by the monitor trap flag, too
 *
 * Nothing that it prints depends on time. The last line but one is
 *
 *	L1MOMENTS 0x..	a sum of all that L1 and L2 have seen
 *
 * An exit of L2 that is no business of L1's is the first write of a page that
 * has a shadow table of its own: fresh_page().
 */
#include "guests/lib/ept12.h"
#include "guests/lib/guest.h"
#include "guests/lib/l2.h"
#include "guests/lib/pages.h"
#include "lib/x86.h"

#define WINDOW          0x80000000ull
#define DISTANCE        (2 * MIB)
#define FRESH_PAGES     64u
#define ODD_PAGE        (WINDOW + FRESH_PAGES * DISTANCE)
#define CONTENTS_A      0xaaaau
#define CONTENTS_B      0xbbbbu

#define VECTOR_INJECT   0x61
#define MSR_NOWHERE     0x1ff0u /* in reach of MSR bitmaps */
#define RDMSR_BYTES     2u
#define TIMER_TICKS     20000u
#define INTERRUPT_US    3000u
#define PML_LAST        511u
#define PML_WRITES      5u
#define SHADOW_REVISION BIT(31)

#define CALL_HERE       (L2_CALL_USER + 0) /* RCX: what L2 has seen */
#define CALL_SLEEPS     (L2_CALL_USER + 1) /* L2 halts next */

static struct l2 l2;
static struct ept12 ept;
static u64 sum = 0xcbf29ce484222325;
static volatile u64 injected, nmis, ticks;
static u64 fresh; /* how many pages have been used */
static u64 *log;

/* FNV-1a, by words. */
static void note(u64 seen)
{
	sum = (sum ^ seen) * 0x100000001b3;
}

static void expect(const char *what, u64 found, u64 wanted)
{
	note(found);
	check(found == wanted, what, "%#lx, not %#lx", found, wanted);
}

/* --- L2 ------------------------------------------------------------------- */

static u64 fresh_page(void)
{
	return WINDOW + fresh++ * DISTANCE;
}

static void touch(void)
{
	*(volatile u64 *)fresh_page() += 1;
}

static void say(u64 seen)
{
	(void)l2_call(CALL_HERE, seen);
}

static void does_little(void)
{
	touch();
	say(cpuid(0x1234, 5).eax);
	touch();
}

static void is_interrupted(void)
{
	say(injected);
}

/* The delivery writes a stack that the shadow has not got yet. */
static void interrupts_itself(void)
{
	__asm__ volatile("mov %%rsp, %%rbx\n\t"
			 "mov %0, %%rsp\n\t"
			 "int %1\n\t"
			 "mov %%rbx, %%rsp"
			 :
			 : "r"(fresh_page() + PAGE_BYTES), "i"(VECTOR_INJECT)
			 : "rbx", "memory", "cc");
	say(injected);
}

static void reads_what_is_not(void)
{
	u64 value = 0;

	say(rdmsr_try(MSR_NOWHERE, &value));
	say(rdmsr_try(MSR_NOWHERE, &value));
}

static void takes_nmi(void)
{
	say(nmis);
}

static void takes_nmi_and_goes_on(void)
{
	touch();
	say(nmis);
}

static void is_timed(void)
{
	touch();
	touch();
	for (;;)
		cpu_pause();
}

static void sleeps(void)
{
	touch();
	(void)l2_call(CALL_SLEEPS, 0);
	__asm__ volatile("hlt" ::: "memory");
	say(ticks);
}

static void reads_odd_page(void)
{
	for (u32 i = 0; i < 3; i++) {
		say(*(volatile u64 *)ODD_PAGE & 0);
		touch();
	}
	say(*(volatile u64 *)ODD_PAGE);
}

static void writes_much(void)
{
	for (u32 i = 0; i < PML_WRITES; i++)
		touch();
	say(PML_WRITES);
	touch();
	touch();
	say(PML_WRITES + 2);
}

static void reads_msr(void)
{
	say(rdmsr(MSR_MISC_ENABLE) & 0);
}

static void uses_shadow_vmcs(void)
{
	u64 value = 0;

	say(vmwrite_try(VMCS_GUEST_RSP, 0x5150));
	touch();
	say(vmread_try(VMCS_GUEST_RSP, &value));
	say(value);
}

static void on_injected(struct trap_frame *frame)
{
	(void)frame;
	injected++;
}

static void on_nmi(struct trap_frame *frame)
{
	(void)frame;
	touch();
	nmis++;
}

/* --- L1 ------------------------------------------------------------------- */

static void on_tick(struct trap_frame *frame)
{
	(void)frame;
	ticks++;
	apic_end_of_interrupt();
}

static void map_page(u64 l2_address, u64 contents)
{
	u64 page = pages_take(1);

	*(volatile u64 *)page = contents;
	*ept12_entry(&ept, l2_address, EPT12_4K) =
	    page | EPT12_RWX | EPT12_TYPE_WB;
}

static void make_ept(void)
{
	ept12_make(&ept);
	ept12_identity(&ept, 1 * GIB, EPT12_2M);
	for (u64 i = 0; i < FRESH_PAGES; i++)
		map_page(WINDOW + i * DISTANCE, i);
	map_page(ODD_PAGE, CONTENTS_A);
}

/* An exit that is there to be looked at. */
static void be_seen(void)
{
	note(cpuid(0, 0).eax);
}

static void make_l2(void)
{
	l2_make(&l2, &(struct l2_controls){
			 .primary = PRIMARY_MSR_BITMAPS,
			 .secondary = SECONDARY_EPT | SECONDARY_VPID,
			 .ept_pointer = ept.pointer,
		     });
	vmwrite(VMCS_MSR_BITMAP, pages_take(1));
}

/* What differs from one program to the next; nothing else is left behind, but
 * for the link of the last one. */
static void begin(const struct l2_controls *c, void (*program)(void))
{
	l2_clear(&l2);
	l2_use(&l2);
	vmwrite(VMCS_PIN_CONTROLS, vmx_adjust(CONTROLS_PIN, c->pin));
	vmwrite(VMCS_SECONDARY_CONTROLS,
		vmx_adjust(CONTROLS_SECONDARY,
			   SECONDARY_EPT | SECONDARY_VPID | c->secondary));
	vmwrite(VMCS_EPT_POINTER, ept.pointer | c->ept_pointer);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	l2_begin(&l2, program);
	be_seen();
}

static void go(u32 reason)
{
	expect("exit_reason", l2_run(&l2), reason);
	be_seen();
}

static void hears(u64 wanted)
{
	go(EXIT_VMCALL);
	expect("call", l2.rax, CALL_HERE);
	expect("what_l2_has_seen", l2.rcx, wanted);
	l2_skip(&l2);
}

static void ends(void)
{
	go(EXIT_VMCALL);
	expect("end", l2.rax, L2_CALL_END);
}

static void inject(u64 info)
{
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO, info | EVENT_VALID);
}

/* --- One after the other -------------------------------------------------- */

static void little(void)
{
	begin(&(struct l2_controls){0}, does_little);
	go(EXIT_CPUID);
	expect("leaf", l2.rax, 0x1234);
	l2.rax = 0x4321;
	l2_skip(&l2);
	hears(0x4321);
	ends();
}

static void events(void)
{
	begin(&(struct l2_controls){0}, is_interrupted);
	vmwrite(VMCS_GUEST_RSP, fresh_page() + PAGE_BYTES);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	inject(VECTOR_INJECT);
	hears(1);
	ends();
	begin(&(struct l2_controls){0}, interrupts_itself);
	hears(2);
	ends();
}

static void exceptions(void)
{
	begin(&(struct l2_controls){0}, reads_what_is_not);
	hears(VECTOR_GP);
	vmwrite(VMCS_EXCEPTION_BITMAP, BIT(VECTOR_GP));
	go(EXIT_EXCEPTION_OR_NMI);
	expect("exception", vmread(VMCS_EXIT_INTERRUPTION_INFO),
	       EVENT_VALID | EVENT_HAS_ERROR_CODE |
		   EVENT_HARDWARE_EXCEPTION << 8 | VECTOR_GP);
	vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + RDMSR_BYTES);
	hears(NO_FAULT);
	ends();
}

static void nmi(void)
{
	begin(&(struct l2_controls){.pin = PIN_NMI | PIN_VIRTUAL_NMIS},
	      takes_nmi);
	inject(EVENT_NMI << 8 | EXCEPTION_NMI);
	hears(1);
	ends();
}

/* Without virtual NMIs no IRET of L2's unblocks them; one of L1's does. */
static void held_nmi(void)
{
	register u32 fault __asm__("r8");

	begin(&(struct l2_controls){.pin = PIN_NMI}, takes_nmi_and_goes_on);
	inject(EVENT_NMI << 8 | EXCEPTION_NMI);
	hears(2);
	expect("held", vmread(VMCS_GUEST_INTERRUPTIBILITY), BLOCKING_BY_NMI);
	ends();
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	__asm__ volatile(TRY("ud2") : "=&r"(fault)::"memory");
}

static void timer(void)
{
	begin(&(struct l2_controls){.pin = PIN_PREEMPTION_TIMER}, is_timed);
	vmwrite(VMCS_PREEMPTION_TIMER, TIMER_TICKS);
	go(EXIT_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER, 0);
	go(EXIT_PREEMPTION_TIMER);
}

static void sleep(void)
{
	begin(&(struct l2_controls){.pin = PIN_EXTERNAL_INTERRUPT}, sleeps);
	l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	go(EXIT_VMCALL);
	expect("call", l2.rax, CALL_SLEEPS);
	l2_skip(&l2);
	timer_start(TIMER_BEST, INTERRUPT_US);
	go(EXIT_EXTERNAL_INTERRUPT);
	interrupts_on();
	cpu_pause();
	interrupts_off();
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
	hears(1);
	ends();
}

/* Until the INVEPT, L2 may see either. */
static void change(void)
{
	begin(&(struct l2_controls){0}, reads_odd_page);
	hears(0);
	map_page(ODD_PAGE, CONTENTS_B);
	be_seen();
	hears(0);
	hears(0);
	expect("invept", invept(INVEPT_SINGLE, ept.pointer, 0), VMX_OK);
	hears(CONTENTS_B);
	ends();
}

static void logs(void)
{
	u64 first = fresh;

	begin(&(struct l2_controls){.secondary = SECONDARY_PML,
				    .ept_pointer = EPT12_POINTER_AD},
	      writes_much);
	log = (u64 *)pages_take(1);
	vmwrite(VMCS_PML_ADDRESS, (u64)log);
	vmwrite(VMCS_PML_INDEX, PML_LAST);
	hears(PML_WRITES);
	for (u32 i = 0, at = PML_LAST; i < PML_WRITES; at--)
		if (log[at] >= WINDOW || at == vmread(VMCS_PML_INDEX))
			expect("logged", log[at] & ~(PAGE_BYTES - 1),
			       WINDOW + (first + i++) * DISTANCE);
	vmwrite(VMCS_PML_INDEX, 0);
	go(EXIT_PML_FULL);
	vmwrite(VMCS_PML_INDEX, PML_LAST);
	hears(PML_WRITES + 2);
	ends();
}

static void shadow_vmcs(void)
{
	u64 region = vmx_region();

	if (!vmx_allows(CONTROLS_SECONDARY, SECONDARY_VMCS_SHADOWING))
		return;
	*(volatile u32 *)region |= (u32)SHADOW_REVISION;
	expect("vmclear", vmclear(region), VMX_OK);
	begin(&(struct l2_controls){.secondary = SECONDARY_VMCS_SHADOWING},
	      uses_shadow_vmcs);
	vmwrite(VMCS_VMREAD_BITMAP, pages_take(1));
	vmwrite(VMCS_VMWRITE_BITMAP, pages_take(1));
	vmwrite(VMCS_LINK_POINTER, region);
	hears(VMX_OK);
	hears(VMX_OK);
	hears(0x5150);
	ends();
}

/* Behind its first instruction, or behind the first that does not run on the
 * CPU itself, where that is all that can be stepped. */
static void step(void)
{
	begin(&(struct l2_controls){0}, reads_msr);
	l2_set(VMCS_PRIMARY_CONTROLS, PRIMARY_MONITOR_TRAP);
	go(EXIT_MONITOR_TRAP);
	l2_reset(VMCS_PRIMARY_CONTROLS, PRIMARY_MONITOR_TRAP);
	hears(0);
	ends();
}

static void be_everywhere(void)
{
	be_seen(); /* no current VMCS */
	make_l2();
	little();
	events();
	exceptions();
	nmi();
	held_nmi();
	timer();
	sleep();
	change();
	logs();
	if (boot_has_word("mtf"))
		step();
	shadow_vmcs();
	l2_clear(&l2);
	be_seen();
}

u8 guest_main(void)
{
	if (!vmx_is_there() || vmx_on() != VMX_OK) {
		check(false, "vmx_on", "this CPU has no VMX to use");
		return result_print();
	}
	trap_handle(VECTOR_INJECT, on_injected);
	trap_handle(EXCEPTION_NMI, on_nmi);
	trap_handle(VECTOR_TIMER, on_tick);
	make_ept();
	be_everywhere();
	vmx_off();
	print("L1MOMENTS %#lx\n", sum);
	return result_print();
}
