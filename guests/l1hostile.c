/* SPDX-License-Identifier: MIT */
/*
 * A hypervisor that means no good: random VMX instructions on random memory, VM
 * entries with random fields, EPT of random entries, L2 code of random bytes.
 *
 *	seed=N    what is random (default 1)
 *	steps=N   how much it does (default 2000)
 *	reckless  nothing is spared, itself neither: it may be stopped or end in
 *	          any way. Without this word it keeps its own way back from L2
 * and its own memory whole, and must come to its end.
 *
 * Where there is Hyper-V's interface it uses that, too: any MSR of it, and
 * enlightened VMCSs anywhere.
 *
 * Not for the bare emulator, which stops for good at some of this.
 */
#include "guests/lib/ept12.h"
#include "guests/lib/guest.h"
#include "guests/lib/l2.h"
#include "guests/lib/pages.h"
#include "lib/x86.h"

#define POOL_PAGES  24u
#define GUARD_TICKS 3000u

static u64 state;
static u64 pool[POOL_PAGES];
static struct l2 l2;
static bool is_reckless;
static u64 entries, exits;

/* SplitMix64. */
static u64 any(void)
{
	u64 z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static u32 below(u32 count)
{
	return (u32)(any() >> 32) % count;
}

/* --- What is random about it ---------------------------------------------- */

/* A page of the pool, a device, memory that is not there, or nonsense. */
static u64 some_address(void)
{
	static const u64 places[] = {
	    0xfee00000, 0xfec00000,         0xe0000000, 0xc0000000,
	    0xa0000,    0xf0000000,         1ull << 36, (1ull << 40) - 4096,
	    1ull << 46, 0x7ffffffffffff000, ~0ull,      0xfffff000,
	    0xe0000,    0x100000000ull,     0,          0xfed00000,
	};

	switch (below(8)) {
	case 0:
		return places[below(ARRAY_COUNT(places))];
	case 1:
		return pool[below(POOL_PAGES)] + below(4096);
	case 2:
		return any();
	default:
		return pool[below(POOL_PAGES)];
	}
}

static u64 some_value(void)
{
	switch (below(6)) {
	case 0:
		return any();
	case 1:
		return 1ull << below(64);
	case 2:
		return ~0ull;
	case 3:
		return below(64);
	default:
		return some_address();
	}
}

static u64 some_field(void)
{
	u64 field =
	    (u64)below(4) << 13 | (u64)below(4) << 10 | (u64)below(0x20) << 1;

	return below(20) ? field : any();
}

/* An entry that maps or points into the pool, or one of any bits. */
static u64 some_entry(void)
{
	u64 address = some_address() & EPT12_ADDRESS;

	if (below(4) == 0)
		return any();
	return address | below(8) | (below(2) ? EPT12_TYPE_WB : 0) |
	       (below(6) ? 0 : EPT12_LARGE) | (any() & 0xf00);
}

static void scribble(void)
{
	volatile u64 *page = (volatile u64 *)pool[below(POOL_PAGES)];
	u32 first = below(512), count = below(64);

	for (u32 i = 0; i < count; i++)
		page[(first + i) % 512] = below(3) ? some_entry() : any();
}

/* Revisions and launch states, so that more than refusals come out. */
static void make_region(void)
{
	*(volatile u32 *)pool[below(POOL_PAGES)] =
	    (u32)vmx_basic() ^ (below(4) ? 0 : (u32)BIT(31));
}

/* --- What it does --------------------------------------------------------- */

static void write_some_fields(void)
{
	u32 count = 1 + below(8);

	for (u32 i = 0; i < count; i++)
		vmwrite_try(some_field(), some_value());
}

static void turn_some_bits(void)
{
	u64 field = some_field(), value = 0;

	if (vmread_try(field, &value) == VMX_OK)
		vmwrite_try(field, value ^ 1ull << below(64));
}

static void read_into_memory(void)
{
	vmread_to(some_field(),
		  (volatile u64 *)(pool[below(POOL_PAGES)] + below(4000)));
}

static void begin_anew(void)
{
	struct l2_controls controls = {
	    .pin = any() & 0x69,
	    .primary = any(),
	    .secondary = any(),
	    .exit = any() & ~EXIT_LOAD_PERF_GLOBAL_CTRL,
	    .entry = any(),
	    .ept_pointer = (some_address() & EPT12_ADDRESS) | 0x1e |
			   (any() & EPT12_POINTER_AD),
	};

	l2_remake(&l2, &controls);
	l2_begin(&l2, (void (*)(void))pool[below(POOL_PAGES)]);
	if (below(2))
		vmwrite(VMCS_GUEST_RIP, pool[below(POOL_PAGES)]);
}

/* The way back, and nothing that L2 can reach of this guest's own. */
static void keep_out_of_harm(void)
{
	l2_write_host_state();
	vmwrite(VMCS_EXIT_CONTROLS,
		vmx_adjust(CONTROLS_EXIT, EXIT_HOST_ADDRESS_SPACE_SIZE |
					      EXIT_LOAD_EFER | EXIT_LOAD_PAT |
					      EXIT_ACKNOWLEDGE_INTERRUPT));
	vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 0);
	l2_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER, GUARD_TICKS);
	l2_set(VMCS_PRIMARY_CONTROLS, PRIMARY_SECONDARY);
	l2_set(VMCS_SECONDARY_CONTROLS, SECONDARY_EPT);
	/* Of the ports one ends the guest. */
	l2_set(VMCS_PRIMARY_CONTROLS, PRIMARY_ALL_IO);
	l2_reset(VMCS_PRIMARY_CONTROLS,
		 PRIMARY_IO_BITMAPS | PRIMARY_MSR_BITMAPS);
}

static bool is_current(void)
{
	u64 pointer = VMX_NO_POINTER;

	return vmptrst_at(&pointer) == VMX_OK && pointer == l2.vmcs;
}

static void enter_some_times(void)
{
	u32 count = 1 + below(6);

	if (!is_current() && !is_reckless)
		return;
	for (u32 i = 0; i < count; i++) {
		if (!is_reckless)
			keep_out_of_harm();
		entries++;
		if (l2_enter(&l2) == VMX_OK)
			exits++;
		if (below(2) && is_current())
			l2_skip(&l2);
	}
}

static void invalidate(void)
{
	if (below(2))
		invept(below(4), some_value(), below(3) ? 0 : any());
	else
		invvpid(below(5), below(3) ? below(3) : some_value(),
			some_value());
}

static void leave_and_return(void)
{
	vmxoff();
	vmxon(below(3) ? pool[below(POOL_PAGES)] : some_address());
	if (vmx_on() != VMX_OK)
		return;
	vmptrld(l2.vmcs);
}

/* Operands of VMX instructions in odd memory: devices, holes, not canonical. */
static void odd_operand(void)
{
	static const u64 odd[] = {0xfee00000, 0xfee00300,        0xfec00010,
				  0xe0000000, 0xf0000ffc,        0xa0000,
				  64 * GIB,   0x0000900000000000};
	u64 at = odd[below(ARRAY_COUNT(odd))];

	switch (below(5)) {
	case 0:
		vmptrld_at((const volatile u64 *)at);
		break;
	case 1:
		vmclear_at((const volatile u64 *)at);
		break;
	case 2:
		vmptrst_at((volatile u64 *)at);
		break;
	case 3:
		invept_at(below(4), (const struct vmx_invalidation *)at);
		break;
	default:
		vmread_to(some_field(), (volatile u64 *)at);
		break;
	}
}

static void point_elsewhere(void)
{
	u64 pointer = some_address();

	if (below(2))
		vmptrld(pointer);
	else
		vmclear(pointer);
	if (pointer == l2.vmcs)
		l2.launched = 0;
	if (below(4))
		vmptrld(l2.vmcs);
}

/* --- The interface of Hyper-V --------------------------------------------- */

#define HYPERV_LEAF      0x40000001u
#define HYPERV_INTERFACE 0x31237648u /* "Hv#1" */
#define MSR_GUEST_OS_ID  0x40000000u
#define MSR_HYPERCALL    0x40000001u
#define MSR_ICR          0x40000071u
#define MSR_VP_ASSIST    0x40000073u

static void use_some_msr(void)
{
	static const u32 msrs[] = {
	    MSR_GUEST_OS_ID, MSR_HYPERCALL, 0x40000002, 0x40000020,
	    0x40000021,      0x40000022,    0x40000023, 0x40000070,
	    MSR_ICR,         0x40000072,    0x40000118, 0x40000080,
	};
	u32 msr = msrs[below(ARRAY_COUNT(msrs))];
	u64 value;

	rdmsr_try(msr, &value);
	/* Of the interrupts that it sends one would be its own end. */
	if (msr != MSR_ICR || is_reckless)
		wrmsr_try(msr, below(2) ? some_value() : some_address() | 1);
}

/* Random bytes for an enlightened VMCS, now and then with its version. */
static void enter_by_evmcs(void)
{
	u64 assist = below(4) ? pool[below(POOL_PAGES)] : some_address();
	u64 page = pool[below(POOL_PAGES)], current = VMX_NO_POINTER, evmcs;

	if (wrmsr_try(MSR_VP_ASSIST, assist | 1) != NO_FAULT)
		return;
	evmcs = below(3) ? page : some_address();
	if (below(4))
		*(volatile u32 *)page = 1;
	for (u32 i = 0; i < POOL_PAGES; i++)
		if (assist >> 12 == pool[i] >> 12) {
			*(volatile u8 *)(pool[i] + 40) = (u8)(below(8) != 0);
			*(volatile u64 *)(pool[i] + 48) = evmcs;
		}
	/* Where none is asked for after all, there is nothing to enter by. */
	if (vmptrst_at(&current) == VMX_OK && current != VMX_NO_POINTER)
		vmclear(current);
	for (u32 count = below(4); count; count--)
		if (l2_enter(&l2) == VMX_OK)
			exits++;
	if (below(2))
		vmclear(evmcs);
}

static void use_hyperv(void)
{
	if (below(2))
		use_some_msr();
	else
		enter_by_evmcs();
	if (is_reckless && below(2))
		return;
	wrmsr_try(MSR_VP_ASSIST, 0);
	wrmsr_try(MSR_GUEST_OS_ID, 0);
	vmclear(l2.vmcs);
	l2.launched = 0;
	vmptrld(l2.vmcs);
}

/* The last one only with that interface. */
static void (*const deeds[])(void) = {
    write_some_fields, turn_some_bits,   read_into_memory, scribble,
    scribble,          begin_anew,       enter_some_times, enter_some_times,
    enter_some_times,  invalidate,       odd_operand,      point_elsewhere,
    make_region,       leave_and_return, use_hyperv,
};

u8 guest_main(void)
{
	u64 steps = boot_number("steps", 2000);
	u32 deed_count = ARRAY_COUNT(deeds);

	state = boot_number("seed", 1) * 0xd1342543de82ef95ull;
	is_reckless = boot_has_word("reckless");
	if (!vmx_is_there() || vmx_on() != VMX_OK) {
		check(false, "vmx_on", "this CPU has no VMX to use");
		return result_print();
	}
	for (u32 i = 0; i < POOL_PAGES; i++) {
		pool[i] = pages_take(1);
		for (u32 word = 0; word < 512; word++)
			((u64 *)pool[i])[word] = i % 2 ? some_entry() : any();
	}
	l2_make(&l2, &(struct l2_controls){0});
	if (cpuid(HYPERV_LEAF, 0).eax != HYPERV_INTERFACE)
		deed_count--;
	for (u64 step = 0; step < steps; step++)
		deeds[below(deed_count)]();
	print("l1hostile: %lu entries, %lu exits\n", entries, exits);
	check(true, "alive", "-");
	return result_print();
}
