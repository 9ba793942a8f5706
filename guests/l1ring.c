/* SPDX-License-Identifier: MIT */
/*
 * The one-edge guest as an L2: on each CPU a hypervisor runs an L2 that
 * increments one byte per page, round and round (guests/ring.c has the
 * picture), and looks after every lap whether all of it is as it should be.
 *
 *	mb=N      how much memory (default 4)
 *	laps=N    when to end (default 10); 0: never
 *	mark=N    says "L1RING lap L" every so many laps (default 1)
 *	talk      says it in words, of L1 and of L2
 *	step=N    how many PAUSEs between two pages (default 0)
 *	cpus=N    how many CPUs have an L2
 *	damage=L  puts one page back to its last value in lap L, which must then
 *		  be noticed
 *
 * What L1 does to its L2 meanwhile, any of:
 *
 *	ept=0	  runs it on its own page tables; with EPT, the default,
 *		  L2's addresses are others than L1's, in another order
 *	ad	  clears EPT's dirty bits after each lap; all must come back
 *	pml	  the same, and has the CPU log: each page once in each lap
 *	alias	  L2 uses two addresses of each page in turn
 *	protect	  takes W from every eighth page until the violation
 *	timer	  interrupts L2 by the preemption timer
 *	areas	  loads and stores MSRs that L2 counts in
 *	inject	  injects an interrupt in each lap
 *	nmi	  the same, an NMI, whose handler takes its time
 *	halt	  L2 halts at the end of each lap until L1 wakes it
 *	sleep	  the same, and L1 sees it only when an interrupt comes
 *	registers L2 has registers of its own in each lap that no exit
 *		  saves: DR7, EFER, PAT, IA32_DEBUGCTL; alone
 *	interrupt has interrupts of its own while L2 runs
 *	fields	  reads all fields of the VMCS after each lap, twice
 *	switch	  two L2s on each CPU, in turn, one of them sometimes VMCLEARed
 *	vmfunc	  L2 changes its EPT by VMFUNC in each lap, twice; in the other
 *		  one pages come in the other order
 *	flags=N	  1: EPT has accessed and dirty flags, which L1 does not look at;
 *		  2: the other one has them, too
 *
 * With `alias` or `vmfunc` neither `ad`, `pml` nor `protect` say anything.
 *
 * The first line tells observers where to look:
 *
 *	L1RING base=0x.. pages=N rings=N
 *
 * Ring r has pages r*N/rings up to (r+1)*N/rings.
 */
#include "guests/lib/ept12.h"
#include "guests/lib/guest.h"
#include "guests/lib/l2.h"
#include "guests/lib/pages.h"
#include "lib/x86.h"

#define RINGS_MAX       (2 * CPUS_MAX)
#define PML_ENTRIES     512u
#define PML_LAST        (PML_ENTRIES - 1)
#define PROTECT_EVERY   8u
#define TIMER_TICKS     2000u
#define INTERRUPT_TICKS 7000u

/* Where L2 has its ring, and its second address. */
#define WINDOW          0x80000000ull
#define ALIAS_DISTANCE  0x40000000ull

#define VECTOR_INJECT   0x61
#define NMI_PAUSES      500
#define CALL_LAP        (L2_CALL_USER + 0)
#define CALL_FAILED     (L2_CALL_USER + 1)

struct msr_entry {
	u32 index, reserved;
	u64 value;
};

struct ring {
	struct ring *self; /* first: found through FS in L2 */
	struct l2 l2;
	struct ept12 ept, other_ept;
	u64 base;   /* L1's address of page 0 */
	u64 window; /* L2's address of the page that comes first there */
	u64 page_count;
	u64 laps; /* done */
	u64 protected_count, violations;
	u64 injected;
	volatile u64 received;
	u64 found_page; /* what L2 complains about */
	u64 *log;
	u32 *logged; /* per page, in this lap */
	struct msr_entry *area;
	bool ended;
};

static struct ring rings[RINGS_MAX];
static u32 ring_count;
static u64 rings_per_cpu = 1;
static u64 lap_count, mark_every, pauses, damaged_lap, with_flags;
static bool with_ept, with_ad, with_pml, with_alias, with_protect, with_timer,
    with_areas, with_inject, with_halt, with_interrupt, with_fields,
    with_switch, with_vmfunc, with_talk, with_nmi, with_sleep, with_registers;
static u32 failed; /* any CPU has found something wrong */
static volatile u64 timer_exits, interrupts_seen;

static bool has_failed(void)
{
	return __atomic_load_n(&failed, __ATOMIC_RELAXED);
}

static void fail(const struct ring *ring, const char *what, u64 found,
		 u64 wanted)
{
	if (__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
		return;
	check(false, what, "ring %lu, lap %lu: %#lx, not %#lx",
	      (u64)(ring - rings), ring->laps, found, wanted);
}

static void expect(const struct ring *ring, const char *what, u64 found,
		   u64 wanted)
{
	if (found != wanted)
		fail(ring, what, found, wanted);
}

/* --- L2 ------------------------------------------------------------------- */

static struct ring *my_ring(void)
{
	struct ring *ring;

	__asm__ volatile("mov %%fs:0, %0" : "=r"(ring));
	return ring;
}

/* With EPT the last page comes first in L2's memory. */
static u64 l2_address(const struct ring *ring, u64 page)
{
	if (!with_ept)
		return ring->base + page * PAGE_BYTES;
	return ring->window + (ring->page_count - 1 - page) * PAGE_BYTES;
}

/* EPTP switching: function 0, ECX is the index in the list. */
static void change_ept(u64 index)
{
	__asm__ volatile("vmfunc" ::"a"(0), "c"(index) : "memory");
}

/* In the other EPT pages come in the other order. */
static u64 place_of(const struct ring *ring, u64 page, u64 ept)
{
	return ept ? ring->page_count - 1 - page : page;
}

static void write_page(struct ring *ring, u64 page, u64 at, u64 lap)
{
	volatile u8 *byte = (volatile u8 *)at;

	if (*byte != (u8)lap) {
		ring->found_page = page;
		l2_call(CALL_FAILED, *byte);
	}
	*byte = (u8)(lap + 1);
	for (u64 i = 0; i < pauses; i++)
		cpu_pause();
}

static void write_lap(struct ring *ring, u64 lap)
{
	u64 shift = with_alias && lap % 2 ? ALIAS_DISTANCE : 0;
	u64 ept = with_vmfunc ? lap % 2 : 0;

	for (u64 page = 0; page < ring->page_count; page++) {
		/* At its begin, and amid what has been written. */
		if (with_vmfunc && page % (ring->page_count / 2) == 0)
			change_ept(ept ^= 1);
		write_page(ring, page,
			   l2_address(ring, place_of(ring, page, ept)) + shift,
			   lap);
	}
}

#define OWN_DR7 (BIT(10) | BIT(8)) /* LE, besides what is always 1 */
#define OWN_PAT (PAT_RESET | 5ul << 56)

static u64 own_efer(void)
{
	return EFER_LMA | EFER_LME | EFER_NXE | EFER_SCE;
}

static void take_own_registers(void)
{
	__asm__ volatile("mov %0, %%dr7" ::"r"(OWN_DR7));
	wrmsr(MSR_PAT, OWN_PAT);
	wrmsr(MSR_EFER, own_efer());
	wrmsr(MSR_DEBUGCTL, DEBUGCTL_BTF);
}

static void check_own_registers(void)
{
	u64 dr7;

	__asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
	if (dr7 != OWN_DR7 || rdmsr(MSR_PAT) != OWN_PAT ||
	    rdmsr(MSR_EFER) != own_efer() ||
	    rdmsr(MSR_DEBUGCTL) != DEBUGCTL_BTF)
		l2_call(CALL_FAILED, dr7);
}

static void count_in_msrs(void)
{
	wrmsr(MSR_LSTAR, rdmsr(MSR_LSTAR) + 1);
}

static void program(void)
{
	struct ring *ring = my_ring();

	for (u64 lap = 0;; lap++) {
		if (with_registers)
			take_own_registers();
		write_lap(ring, lap);
		if (with_registers)
			check_own_registers();
		if (with_areas)
			count_in_msrs();
		if (with_halt || with_sleep)
			__asm__ volatile("hlt" ::: "memory");
		l2_call(CALL_LAP, lap);
	}
}

static void on_injected(struct trap_frame *frame)
{
	(void)frame;
	my_ring()->received++;
	for (u64 i = 0; with_nmi && i < NMI_PAUSES; i++)
		cpu_pause();
}

/* --- L1: EPT -------------------------------------------------------------- */

static void map_ring(const struct ring *ring, struct ept12 *ept, u64 distance)
{
	bool is_other = ept == &ring->other_ept;

	for (u64 page = 0; page < ring->page_count; page++) {
		u64 place = is_other ? ring->page_count - 1 - page : page;

		*ept12_entry(ept, l2_address(ring, place) + distance,
			     EPT12_4K) = (ring->base + page * PAGE_BYTES) |
					 EPT12_RWX | EPT12_TYPE_WB;
	}
}

/* L1's own memory, and the ring once more where L2 looks for it. */
static void make_ept(const struct ring *ring, struct ept12 *ept)
{
	ept12_make(ept);
	ept12_identity(ept, 1 * GIB, EPT12_2M);
	map_ring(ring, ept, 0);
	if (with_alias)
		map_ring(ring, ept, ALIAS_DISTANCE);
	if (with_ad || with_flags > (ept == &ring->other_ept))
		ept->pointer |= EPT12_POINTER_AD;
}

static volatile u64 *leaf_of(struct ring *ring, u64 page)
{
	return ept12_entry(&ring->ept, l2_address(ring, page), EPT12_4K);
}

static void check_dirty_bits(struct ring *ring)
{
	for (u64 page = 0; page < ring->page_count; page++) {
		volatile u64 *leaf = leaf_of(ring, page);

		if (!(*leaf & EPT12_D))
			fail(ring, "dirty_bit_of_page", page, EPT12_D);
		*leaf &= ~EPT12_D;
	}
}

static void protect_some(struct ring *ring)
{
	for (u64 page = ring->laps % PROTECT_EVERY; page < ring->page_count;
	     page += PROTECT_EVERY) {
		*leaf_of(ring, page) &= ~EPT12_W;
		ring->protected_count++;
	}
}

/* The page of an address in L2's window; page_count if it is none. */
static u64 page_of(const struct ring *ring, u64 l2)
{
	u64 index = (l2 - ring->window) / PAGE_BYTES;

	if (l2 < ring->window || index >= ring->page_count)
		return ring->page_count;
	return ring->page_count - 1 - index;
}

static void on_violation(struct ring *ring)
{
	u64 address = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
	u64 page = page_of(ring, address);

	if (!with_protect || page == ring->page_count ||
	    *leaf_of(ring, page) & EPT12_W) {
		fail(ring, "ept_violation", address, 0);
		return;
	}
	expect(ring, "what_the_violation_wanted",
	       vmread(VMCS_EXIT_QUALIFICATION) & EPT12_RWX, EPT12_W);
	*leaf_of(ring, page) |= EPT12_W;
	ring->violations++;
}

/* --- L1: its own page-modification log ------------------------------------ */

static void drain_log(struct ring *ring)
{
	u64 index = (vmread(VMCS_PML_INDEX) + 1) & 0xffff;

	for (; index < PML_ENTRIES; index++) {
		u64 page = page_of(ring, ring->log[index]);

		if (page < ring->page_count)
			ring->logged[page]++;
	}
	vmwrite(VMCS_PML_INDEX, PML_LAST);
}

static void check_log(struct ring *ring)
{
	drain_log(ring);
	for (u64 page = 0; page < ring->page_count; page++) {
		if (ring->logged[page] != 1)
			fail(ring, "log_entries_of_a_page", ring->logged[page],
			     1);
		ring->logged[page] = 0;
	}
}

/* --- L1: after a lap ------------------------------------------------------ */

static u8 byte_of(const struct ring *ring, u64 page)
{
	return *(volatile u8 *)(ring->base + page * PAGE_BYTES);
}

static void check_at_rest(const struct ring *ring)
{
	for (u64 page = 0; page < ring->page_count; page++)
		if (byte_of(ring, page) != (u8)ring->laps) {
			fail(ring, "page_at_rest", page, byte_of(ring, page));
			return;
		}
}

/* The store area has what L2 has counted; every entry gives it back. */
static void check_areas(const struct ring *ring)
{
	expect(ring, "msr_that_is_stored", ring->area[1].value, ring->laps);
	expect(ring, "msr_that_is_loaded", rdmsr(MSR_LSTAR), 0x5555);
}

static void check_field(const struct ring *ring, u64 field)
{
	u64 first = 0, second = 0;
	u32 did = vmread_try(field, &first);

	expect(ring, "vmread_again", vmread_try(field, &second), did);
	expect(ring, "field_again", second, first);
}

/* Encodings of fields, and some of none: those fail both times. */
static void check_fields(const struct ring *ring)
{
	for (u64 width = 0; width < 4; width++)
		for (u64 kind = 0; kind < 4; kind++)
			for (u64 index = 0; index < 32; index++)
				check_field(ring, width << 13 | kind << 10 |
						      index << 1);
}

static void inject_one(struct ring *ring)
{
	vmwrite(VMCS_ENTRY_INTERRUPTION_INFO,
		with_nmi ? EVENT_VALID | EVENT_NMI << 8 | EXCEPTION_NMI
			 : EVENT_VALID | VECTOR_INJECT);
	ring->injected++;
}

static void tell(const struct ring *ring)
{
	if (ring != rings || !mark_every || ring->laps % mark_every)
		return;
	if (!with_talk) {
		print("L1RING lap %lu\n", ring->laps);
		return;
	}
	print("L2: lap %lu: every page was as I left it\n", ring->laps);
	print("L1: lap %lu: %lu pages, each as it must be\n", ring->laps,
	      ring->page_count);
}

static void look_at_everything(struct ring *ring)
{
	check_at_rest(ring);
	if (with_pml)
		check_log(ring);
	if (with_ad)
		check_dirty_bits(ring);
	if (with_protect)
		expect(ring, "violations", ring->violations,
		       ring->protected_count);
	if (with_areas)
		check_areas(ring);
	if (with_fields)
		check_fields(ring);
	expect(ring, "received_interrupts", ring->received, ring->injected);
}

static void on_lap(struct ring *ring)
{
	expect(ring, "lap_that_l2_is_in", ring->l2.rcx, ring->laps);
	ring->laps++;
	look_at_everything(ring);
	tell(ring);
	ring->ended = ring->laps == lap_count;
	if (ring->laps == damaged_lap)
		*(volatile u8 *)(ring->base +
				 ring->page_count / 2 * PAGE_BYTES) -= 1;
	if (with_protect)
		protect_some(ring);
	if (with_ad || with_protect)
		invept(INVEPT_SINGLE, ring->ept.pointer, 0);
	l2_skip(&ring->l2);
	if (with_inject)
		inject_one(ring);
}

/* --- L1: exits ------------------------------------------------------------ */

static void on_call(struct ring *ring)
{
	switch (ring->l2.rax) {
	case CALL_LAP:
		on_lap(ring);
		break;
	case CALL_FAILED:
		fail(ring, "page_before_it_was_written", ring->found_page,
		     ring->l2.rcx);
		break;
	default:
		fail(ring, "call", ring->l2.rax, CALL_LAP);
		break;
	}
}

static void take_interrupts(void)
{
	interrupts_on();
	cpu_pause();
	interrupts_off();
}

static void on_exit_of(struct ring *ring, u32 reason)
{
	switch (reason) {
	case EXIT_VMCALL:
		on_call(ring);
		break;
	case EXIT_EPT_VIOLATION:
		on_violation(ring);
		break;
	case EXIT_PML_FULL:
		drain_log(ring);
		break;
	case EXIT_PREEMPTION_TIMER:
		timer_exits++;
		break;
	case EXIT_EXTERNAL_INTERRUPT:
		take_interrupts();
		if (with_sleep)
			vmwrite(VMCS_GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
		break;
	case EXIT_HLT:
		l2_skip(&ring->l2);
		inject_one(ring);
		break;
	default:
		fail(ring, "exit_reason", reason, EXIT_VMCALL);
		break;
	}
}

/* An exit that cut a delivery short: the event has not arrived. */
static void deliver_again(void)
{
	u64 info = vmread(VMCS_IDT_VECTORING_INFO);

	if (info & EVENT_VALID)
		vmwrite(VMCS_ENTRY_INTERRUPTION_INFO,
			info & (EVENT_VECTOR | EVENT_TYPE | EVENT_VALID));
}

/* One lap, with whatever exits there are on the way. */
static void run_lap(struct ring *ring)
{
	u64 lap = ring->laps;

	l2_use(&ring->l2);
	while (ring->laps == lap && !has_failed()) {
		u32 reason = l2_run(&ring->l2);

		if (with_areas)
			ring->area[0].value = ring->area[1].value;
		deliver_again();
		on_exit_of(ring, reason);
	}
	if (with_switch && lap % 4 == 3)
		l2_clear(&ring->l2);
}

static void interrupt_later(void)
{
	timer_start(TIMER_BEST, time_tsc_to_us(INTERRUPT_TICKS) + 1);
}

static void on_interrupt(struct trap_frame *frame)
{
	(void)frame;
	interrupts_seen++;
	apic_end_of_interrupt();
	interrupt_later();
}

/* --- L1: making L2 -------------------------------------------------------- */

static void choose_controls(struct l2_controls *c)
{
	c->primary = PRIMARY_MSR_BITMAPS;
	if (with_ept)
		c->secondary |= SECONDARY_EPT | SECONDARY_VPID;
	if (with_pml)
		c->secondary |= SECONDARY_PML;
	if (with_vmfunc)
		c->secondary |= SECONDARY_VMFUNC;
	if (with_timer)
		c->pin |= PIN_PREEMPTION_TIMER;
	if (with_interrupt)
		c->pin |= PIN_EXTERNAL_INTERRUPT;
	if (with_nmi)
		c->pin |= PIN_NMI | PIN_VIRTUAL_NMIS;
	if (with_halt)
		c->primary |= PRIMARY_HLT;
}

static void use_areas(struct ring *ring)
{
	ring->area = (struct msr_entry *)pages_take(1);
	ring->area[0].index = MSR_LSTAR;
	ring->area[1].index = MSR_LSTAR;
	ring->area[2] = (struct msr_entry){MSR_LSTAR, 0, 0x5555};
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDRESS, (u64)&ring->area[0]);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
	vmwrite(VMCS_EXIT_MSR_STORE_ADDRESS, (u64)&ring->area[1]);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDRESS, (u64)&ring->area[2]);
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
}

static void use_pml(struct ring *ring)
{
	u64 bytes = ring->page_count * sizeof(*ring->logged);

	ring->log = (u64 *)pages_take(1);
	ring->logged = (u32 *)pages_take(bytes / PAGE_BYTES + 1);
	vmwrite(VMCS_PML_ADDRESS, (u64)ring->log);
	vmwrite(VMCS_PML_INDEX, PML_LAST);
}

static void use_vmfunc(struct ring *ring)
{
	u64 *list = (u64 *)pages_take(1);

	make_ept(ring, &ring->other_ept);
	list[0] = ring->ept.pointer;
	list[1] = ring->other_ept.pointer;
	vmwrite(VMCS_VMFUNC_CONTROLS, VMFUNC_EPTP_SWITCHING);
	vmwrite(VMCS_EPTP_LIST_ADDRESS, (u64)list);
}

static void make_l2(struct ring *ring)
{
	struct l2_controls controls = {0};

	choose_controls(&controls);
	if (with_ept) {
		make_ept(ring, &ring->ept);
		controls.ept_pointer = ring->ept.pointer;
	}
	l2_make(&ring->l2, &controls);
	l2_begin(&ring->l2, program);
	vmwrite(VMCS_MSR_BITMAP, pages_take(1));
	vmwrite(VMCS_GUEST_FS_BASE, (u64)ring);
	if (with_ept)
		vmwrite(VMCS_VPID, (u64)(ring - rings) + 1);
	if (with_inject || with_halt || with_interrupt)
		l2_set(VMCS_GUEST_RFLAGS, RFLAGS_IF);
	vmwrite(VMCS_PREEMPTION_TIMER, TIMER_TICKS);
	if (with_areas)
		use_areas(ring);
	if (with_pml)
		use_pml(ring);
	if (with_vmfunc)
		use_vmfunc(ring);
}

static void run(u32 index)
{
	struct ring *mine = &rings[index * rings_per_cpu];

	if (index >= ring_count / rings_per_cpu)
		return;
	if (vmx_on() != VMX_OK) {
		fail(mine, "vmxon", 1, 0);
		return;
	}
	for (u32 i = 0; i < rings_per_cpu; i++)
		make_l2(&mine[i]);
	if (with_interrupt)
		interrupt_later();
	while (!mine[rings_per_cpu - 1].ended && !has_failed())
		for (u32 i = 0; i < rings_per_cpu; i++)
			run_lap(&mine[i]);
}

/* --- The machine ---------------------------------------------------------- */

static void share_memory(void)
{
	u64 pages = boot_number("mb", 4) * MIB / PAGE_BYTES;
	u64 base = pages_take(pages);

	for (u32 i = 0; i < ring_count; i++) {
		u64 first = i * pages / ring_count;

		rings[i].self = &rings[i];
		rings[i].base = base + first * PAGE_BYTES;
		rings[i].page_count = (i + 1) * pages / ring_count - first;
		rings[i].window = WINDOW + first * PAGE_BYTES;
	}
	print("L1RING base=%#lx pages=%lu rings=%u\n", base, pages, ring_count);
}

static void read_words(void)
{
	lap_count = boot_number("laps", 10);
	mark_every = boot_number("mark", 1);
	pauses = boot_number("step", 0);
	damaged_lap = boot_number("damage", 0);
	with_ept = boot_number("ept", 1);
	with_alias = with_ept && boot_has_word("alias");
	with_vmfunc = with_ept && boot_has_word("vmfunc");
	with_pml = with_ept && boot_has_word("pml");
	with_ad = with_pml || (with_ept && boot_has_word("ad"));
	with_protect = with_ept && boot_has_word("protect");
	with_timer = boot_has_word("timer");
	with_areas = boot_has_word("areas");
	with_nmi = boot_has_word("nmi");
	with_inject = with_nmi || boot_has_word("inject");
	with_halt = boot_has_word("halt");
	with_registers = boot_has_word("registers");
	with_sleep = boot_has_word("sleep");
	with_interrupt = with_sleep || boot_has_word("interrupt");
	with_fields = boot_has_word("fields");
	with_switch = boot_has_word("switch");
	with_flags = with_ept ? boot_number("flags", 0) : 0;
	with_talk = boot_has_word("talk");
	if (with_alias || with_vmfunc)
		with_ad = with_pml = with_protect = false;
	rings_per_cpu = with_switch ? 2 : 1;
}

/* What was asked for, and this CPU can do. */
static bool can_all_that(void)
{
	struct l2_controls c = {0};
	u64 ad = with_ad || with_flags ? EPT_CAP_ACCESSED_DIRTY : 0;

	choose_controls(&c);
	return vmx_allows(CONTROLS_PIN, c.pin) &&
	       vmx_allows(CONTROLS_PRIMARY, c.primary) &&
	       vmx_allows(CONTROLS_SECONDARY, c.secondary) &&
	       (vmx_ept_capability() & ad) == ad;
}

static void start_all(u32 cpus)
{
	if (cpus > 1) {
		u32 running = smp_start(run, 1000000);

		check(running == cpus, "all_cpus_answer", "%u of %u", running,
		      cpus);
	}
	run(0);
	while (!smp_all_done() && !has_failed())
		cpu_pause();
}

static void check_that_it_happened(void)
{
	if (with_timer)
		check(timer_exits, "timer", "it never fired");
	if (with_interrupt)
		check(interrupts_seen, "interrupt", "there was none");
	for (u32 i = 0; i < ring_count; i++)
		check(rings[i].laps == lap_count, "laps", "ring %u: %lu", i,
		      rings[i].laps);
}

u8 guest_main(void)
{
	u32 cpus = smp_expected();

	read_words();
	if (!vmx_is_there() || !can_all_that()) {
		check(false, "can_all_that", "this CPU cannot");
		return result_print();
	}
	ring_count = cpus * (u32)rings_per_cpu;
	trap_handle(with_nmi ? (u32)EXCEPTION_NMI : VECTOR_INJECT, on_injected);
	trap_handle(VECTOR_TIMER, on_interrupt);
	share_memory();
	start_all(cpus);
	check(!has_failed(), "l1ring", "see above");
	if (!has_failed())
		check_that_it_happened();
	return result_print();
}
