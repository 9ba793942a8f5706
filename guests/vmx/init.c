/* SPDX-License-Identifier: MIT */
/*
 * INIT and start-up IPIs of a CPU in VMX operation, from another one. SDM
 * vol. 3, "Other Causes of VM Exits", "Restrictions on VMX Operation",
 * "Guest Non-Register State".
 *
 *			INIT		 start-up IPI
 *	VMX root	waits		 is lost
 *	L2		exits		 is lost
 *	L2 that waits	waits		 exits
 *	VMXOFF		resets the CPU
 */
#include "guests/lib/layout.h"
#include "guests/lib/smp.h"
#include "guests/lib/time.h"
#include "guests/vmx/suite.h"

#define START_US  500000
#define ANSWER_US 200000 /* at most until something that happens is seen */
#define QUIET_US  20000  /* how long nothing happens that is not to */

enum order { RUN_L2, LEAVE_VMX };

/* What the other CPU is to do, and what came of it. */
static struct {
	enum order order;
	u64 activity;    /* L2's */
	bool timer;      /* its preemption timer runs out at once */
	u32 given, done; /* orders */
	u64 reason, qualification, activity_then;
} other;

static struct l2 l2;
static volatile u64 root_beats; /* the other CPU waits for orders */
static volatile u32 starts;
static volatile bool in_l2, release;

/* --- The other CPU -------------------------------------------------------- */

static void spin(void)
{
	in_l2 = true;
	while (!release)
		cpu_pause();
}

static void run_l2(void)
{
	l2_begin(&l2, spin);
	vmwrite(VMCS_GUEST_ACTIVITY_STATE, other.activity);
	l2_reset(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	if (other.timer)
		l2_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	other.reason = l2_run(&l2);
	other.qualification = vmread(VMCS_EXIT_QUALIFICATION);
	other.activity_then = vmread(VMCS_GUEST_ACTIVITY_STATE);
}

static bool has_order(void)
{
	return __atomic_load_n(&other.given, __ATOMIC_SEQ_CST) != other.done;
}

static void work(u32 cpu_index)
{
	__atomic_fetch_add(&starts, 1, __ATOMIC_SEQ_CST);
	if (cpu_index != 1 || vmx_on() != VMX_OK)
		return;
	l2_make(&l2, &(struct l2_controls){0});
	for (;;) {
		for (; !has_order(); root_beats++)
			cpu_pause();
		if (other.order == LEAVE_VMX)
			vmx_off();
		else
			run_l2();
		__atomic_fetch_add(&other.done, 1, __ATOMIC_SEQ_CST);
	}
}

/* --- This one ------------------------------------------------------------- */

static bool is_done(void)
{
	return __atomic_load_n(&other.done, __ATOMIC_SEQ_CST) == other.given;
}

static bool is_in_l2(void)
{
	return in_l2;
}

static bool has_started_again(void)
{
	return starts > 1;
}

static bool wait_for(bool (*happens)(void))
{
	u64 start = rdtsc();

	while (!happens() && rdtsc() - start < time_us_to_tsc(ANSWER_US))
		cpu_pause();
	return happens();
}

static void give(enum order order)
{
	other.order = order;
	__atomic_fetch_add(&other.given, 1, __ATOMIC_SEQ_CST);
}

static void begin(u64 activity)
{
	in_l2 = release = false;
	other.activity = activity;
	give(RUN_L2);
	if (activity == ACTIVITY_ACTIVE)
		suite_true(wait_for(is_in_l2), "that L2 runs");
	else
		time_delay_us(QUIET_US);
}

static void send_sipi(u64 page)
{
	apic_broadcast_sipi((u32)(page * PAGE_BYTES));
}

static void expect_exit(u32 reason, u64 qualification, u64 activity)
{
	suite_true(wait_for(is_done), "that L2 exits");
	suite_expect(other.reason, reason, "the exit reason");
	suite_expect(other.qualification, qualification, "the qualification");
	suite_expect(other.activity_then, activity, "the activity state");
}

static void expect_no_exit(void)
{
	time_delay_us(QUIET_US);
	suite_true(!is_done(), "that L2 does not exit");
}

/* L2 goes on to its end, which has nothing to do with what was before. */
static void finish(void)
{
	release = true;
	expect_exit(EXIT_VMCALL, 0, ACTIVITY_ACTIVE);
}

/* Its next L2 exits before it has done anything. */
static void expect_init_that_has_waited(void)
{
	in_l2 = release = false;
	other.activity = ACTIVITY_ACTIVE;
	give(RUN_L2);
	expect_exit(EXIT_INIT, 0, ACTIVITY_ACTIVE);
	suite_true(!in_l2, "that L2 has done nothing");
}

/* --- Cases ---------------------------------------------------------------- */

static void init_ends_l2(void)
{
	suite_case("init_ends_l2");
	begin(ACTIVITY_ACTIVE);
	apic_broadcast_init();
	expect_exit(EXIT_INIT, 0, ACTIVITY_ACTIVE);
	/* One exit for one INIT. */
	begin(ACTIVITY_ACTIVE);
	expect_no_exit();
	finish();
	if (!(rdmsr(MSR_VMX_MISC) & MISC_HLT))
		return;
	suite_case("init_ends_l2_that_is_halted");
	begin(ACTIVITY_HLT);
	apic_broadcast_init();
	expect_exit(EXIT_INIT, 0, ACTIVITY_HLT);
}

static void sipi_is_lost_in_l2(void)
{
	suite_case("sipi_is_lost_in_l2");
	begin(ACTIVITY_ACTIVE);
	send_sipi(0x12);
	expect_no_exit();
	finish();
}

static void sipi_ends_waiting(void)
{
	suite_case("sipi_ends_waiting");
	begin(ACTIVITY_WAIT_FOR_SIPI);
	expect_no_exit();
	suite_true(!in_l2, "that L2 waits");
	send_sipi(0x9a);
	expect_exit(EXIT_SIPI, 0x9a, ACTIVITY_WAIT_FOR_SIPI);
}

/* SDM vol. 3, "VMX-Preemption Timer". */
static void timer_does_not_end_waiting(void)
{
	if (!vmx_allows(CONTROLS_PIN, PIN_PREEMPTION_TIMER))
		return;
	suite_case("timer_does_not_end_waiting");
	other.timer = true;
	begin(ACTIVITY_WAIT_FOR_SIPI);
	expect_no_exit();
	send_sipi(0x9a);
	expect_exit(EXIT_SIPI, 0x9a, ACTIVITY_WAIT_FOR_SIPI);
	other.timer = false;
}

static void init_is_blocked_while_waiting(void)
{
	suite_case("init_is_blocked_while_waiting");
	begin(ACTIVITY_WAIT_FOR_SIPI);
	apic_broadcast_init();
	expect_no_exit();
	send_sipi(0x34);
	expect_exit(EXIT_SIPI, 0x34, ACTIVITY_WAIT_FOR_SIPI);
	expect_init_that_has_waited();
}

static void init_waits_in_root(void)
{
	u64 beats;

	suite_case("init_waits_in_root");
	apic_broadcast_init();
	time_delay_us(QUIET_US);
	beats = root_beats;
	time_delay_us(QUIET_US);
	suite_true(root_beats != beats, "that the CPU goes on");
	expect_init_that_has_waited();
}

static void sipi_is_lost_in_root(void)
{
	suite_case("sipi_is_lost_in_root");
	/* The exit by INIT that was before is long past. */
	begin(ACTIVITY_ACTIVE);
	finish();
	send_sipi(0x56);
	time_delay_us(QUIET_US);
	begin(ACTIVITY_WAIT_FOR_SIPI);
	expect_no_exit();
	send_sipi(0x78);
	expect_exit(EXIT_SIPI, 0x78, ACTIVITY_WAIT_FOR_SIPI);
}

/*
 * Both at once: on a CPU, L1 may or may not make L2 wait in time. What Umbra
 * promises is that it does.
 */
static void sipi_behind_init_is_kept(void)
{
	if (!boot_has_word("early"))
		return;
	suite_case("sipi_behind_init_is_kept");
	begin(ACTIVITY_ACTIVE);
	apic_broadcast_init();
	send_sipi(0x42);
	expect_exit(EXIT_INIT, 0, ACTIVITY_ACTIVE);
	begin(ACTIVITY_WAIT_FOR_SIPI);
	expect_exit(EXIT_SIPI, 0x42, ACTIVITY_WAIT_FOR_SIPI);
	begin(ACTIVITY_WAIT_FOR_SIPI);
	expect_no_exit();
	send_sipi(0x43);
	expect_exit(EXIT_SIPI, 0x43, ACTIVITY_WAIT_FOR_SIPI);
}

/* The last one: the CPU loses what it is. */
static void vmxoff_lets_init_pass(void)
{
	u64 beats;

	suite_case("vmxoff_lets_init_pass");
	apic_broadcast_init();
	send_sipi(SMP_TRAMPOLINE / PAGE_BYTES);
	time_delay_us(QUIET_US);
	give(LEAVE_VMX);
	time_delay_us(QUIET_US);
	beats = root_beats;
	time_delay_us(QUIET_US);
	suite_expect(root_beats, beats, "what the CPU counts");
	suite_expect(starts, 1, "how often it was started");
	send_sipi(SMP_TRAMPOLINE / PAGE_BYTES);
	suite_true(wait_for(has_started_again), "that it starts again");
}

/* Bochs 2.7 loses INIT in VMX root operation (docs/TESTING.md). */
void suite_init(void)
{
	if (smp_expected() != 2 || suite_in_bochs() ||
	    !(rdmsr(MSR_VMX_MISC) & MISC_WAIT_FOR_SIPI))
		return;
	suite_case("the other CPU");
	suite_expect(smp_start(work, START_US), 2, "how many CPUs run");
	init_ends_l2();
	sipi_is_lost_in_l2();
	sipi_ends_waiting();
	timer_does_not_end_waiting();
	init_is_blocked_while_waiting();
	init_waits_in_root();
	sipi_is_lost_in_root();
	sipi_behind_init_is_kept();
	vmxoff_lets_init_pass();
}
