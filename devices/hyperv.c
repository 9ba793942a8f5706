/* SPDX-License-Identifier: MIT */
/* See devices/hyperv.h. */
#include "devices/hyperv.h"
#include "lib/string.h"

/* Leaf 3, EAX and EDX. */
#define HAS_TIME_COUNT         BIT(1)
#define HAS_APIC_MSRS          BIT(4) /* and the VP-assist page's */
#define HAS_HYPERCALL          BIT(5)
#define HAS_VP_INDEX           BIT(6)
#define HAS_REFERENCE_TSC      BIT(9)
#define HAS_FREQUENCIES        BIT(11)
#define HAS_TSC_INVARIANT      BIT(15)
#define EDX_FREQUENCIES        BIT(8)

/* Leaf 4. */
#define ADVISES_RELAXED_TIMING BIT(5)
#define ADVISES_EVMCS          BIT(14)
#define NEVER_NOTIFY_OF_SPINS  UINT32_MAX

/* Leaf 6: MSR bitmaps and second-level translation are used. */
#define USES_MSR_BITMAPS       BIT(1)
#define USES_SLAT              BIT(3)

/* Leaf 10: lowest and highest version of the eVMCS. */
#define EVMCS_VERSIONS         0x0101u
#define HAS_EVMCS_BITMAP       BIT(19)

#define INTERFACE              0x31237648u /* "Hv#1" */
#define BUILD                  1u
#define VERSION                (10u << 16) /* 10.0: whose interface that is */

#define REFERENCE_HZ           10000000u

#define PAGE_ADDRESS           BITS(63, 12)

static struct hyperv_leaf features(void)
{
	return (struct hyperv_leaf){
	    .eax = (u32)(HAS_TIME_COUNT | HAS_APIC_MSRS | HAS_HYPERCALL |
			 HAS_VP_INDEX | HAS_REFERENCE_TSC | HAS_FREQUENCIES |
			 HAS_TSC_INVARIANT),
	    .edx = (u32)EDX_FREQUENCIES,
	};
}

static struct hyperv_leaf signature(void)
{
	struct hyperv_leaf leaf = {.eax = HYPERV_CPUID_LAST};

	memcpy(&leaf.ebx, "Microsoft Hv", 12);
	return leaf;
}

static struct hyperv_leaf advice(const struct hyperv_offer *offer)
{
	return (struct hyperv_leaf){
	    .eax = (u32)(ADVISES_RELAXED_TIMING |
			 (offer->nested ? ADVISES_EVMCS : 0)),
	    .ebx = NEVER_NOTIFY_OF_SPINS,
	};
}

struct hyperv_leaf hyperv_cpuid(const struct hyperv_offer *offer, u32 leaf)
{
	switch (leaf - HYPERV_CPUID_FIRST) {
	case 0:
		return signature();
	case 1:
		return (struct hyperv_leaf){.eax = INTERFACE};
	case 2:
		return (struct hyperv_leaf){.eax = BUILD, .ebx = VERSION};
	case 3:
		return features();
	case 4:
		return advice(offer);
	case 5:
		return (struct hyperv_leaf){.eax = offer->vcpu_max};
	case 6:
		return (struct hyperv_leaf){
		    .eax = (u32)(USES_MSR_BITMAPS | USES_SLAT)};
	case 10:
		if (offer->nested)
			return (struct hyperv_leaf){
			    .eax = EVMCS_VERSIONS | (u32)HAS_EVMCS_BITMAP};
		break;
	default:
		break;
	}
	return (struct hyperv_leaf){0};
}

/* --- Time ----------------------------------------------------------------- */

/* numerator * 2^64 / divisor, for a numerator below the divisor. */
static u64 divide_fraction(u64 numerator, u64 divisor)
{
	u64 quotient, rest;

	__asm__("divq %4"
		: "=a"(quotient), "=d"(rest)
		: "a"(0UL), "d"(numerator), "rm"(divisor)
		: "cc");
	return quotient;
}

u64 hyperv_tsc_scale(u64 tsc_hz)
{
	return tsc_hz > REFERENCE_HZ ? divide_fraction(REFERENCE_HZ, tsc_hz)
				     : 0;
}

u64 hyperv_reference_time(u64 tsc, u64 tsc_hz)
{
	u64 scale = hyperv_tsc_scale(tsc_hz);

	if (scale)
		return (u64)((u128)tsc * scale >> 64);
	/* Slower than its own unit: whole ticks, and no product overflows. */
	if (!tsc_hz)
		return 0;
	return tsc / tsc_hz * REFERENCE_HZ +
	       tsc % tsc_hz * REFERENCE_HZ / tsc_hz;
}

/* --- MSRs ----------------------------------------------------------------- */

enum hyperv_verdict hyperv_msr_read(const struct hyperv_asker *asker, u32 msr,
				    u64 *value)
{
	switch (msr) {
	case HYPERV_MSR_GUEST_OS_ID:
		*value = asker->vm->guest_os_id;
		return HYPERV_DONE;
	case HYPERV_MSR_HYPERCALL:
		*value = asker->vm->hypercall;
		return HYPERV_DONE;
	case HYPERV_MSR_VP_INDEX:
		*value = asker->index;
		return HYPERV_DONE;
	case HYPERV_MSR_TIME_COUNT:
		*value = hyperv_reference_time(asker->tsc, asker->tsc_hz);
		return HYPERV_DONE;
	case HYPERV_MSR_REFERENCE_TSC:
		*value = asker->vm->reference_tsc;
		return HYPERV_DONE;
	case HYPERV_MSR_TSC_HZ:
		*value = asker->tsc_hz;
		return HYPERV_DONE;
	case HYPERV_MSR_APIC_HZ:
		*value = asker->apic_timer_hz;
		return HYPERV_DONE;
	case HYPERV_MSR_VP_ASSIST:
		*value = asker->vcpu->vp_assist;
		return HYPERV_DONE;
	case HYPERV_MSR_TSC_INVARIANT:
		*value = asker->vm->tsc_invariant;
		return HYPERV_DONE;
	default:
		return HYPERV_ABSENT;
	}
}

/* The beginning of the page that `value` names, if it enables one. */
static enum hyperv_verdict put(const struct hyperv_asker *asker, u64 value,
			       const void *from, u64 bytes)
{
	if (!(value & HYPERV_PAGE_ENABLED))
		return HYPERV_DONE;
	return guest_mem_write(asker->mem, gpa(value & PAGE_ADDRESS), from,
			       bytes) == OK
		   ? HYPERV_DONE
		   : HYPERV_FAULT;
}

/* Without an id there are no hypercalls. */
static enum hyperv_verdict write_id(struct hyperv *vm, u64 value)
{
	vm->guest_os_id = value;
	if (!value)
		vm->hypercall &= ~HYPERV_PAGE_ENABLED;
	return HYPERV_DONE;
}

static enum hyperv_verdict write_hypercall(const struct hyperv_asker *asker,
					   u64 value)
{
	static const u8 call_and_return[] = {0x0f, 0x01, 0xc1, 0xc3};
	struct hyperv *vm = asker->vm;
	enum hyperv_verdict verdict;

	if (vm->hypercall & HYPERV_HYPERCALL_LOCKED)
		return HYPERV_FAULT;
	if (!vm->guest_os_id)
		value &= ~HYPERV_PAGE_ENABLED;
	verdict = put(asker, value, call_and_return, sizeof(call_and_return));
	if (verdict == HYPERV_DONE)
		vm->hypercall = value;
	return verdict;
}

struct reference_tsc_page {
	u32 sequence; /* 0: use the counter instead */
	u32 reserved;
	u64 scale;
	u64 offset;
};

static enum hyperv_verdict write_reference_tsc(const struct hyperv_asker *asker,
					       u64 value)
{
	struct reference_tsc_page page = {
	    .scale = hyperv_tsc_scale(asker->tsc_hz),
	};
	enum hyperv_verdict verdict;

	/* Another vCPU may be looking: first the figures, then their number. */
	verdict = put(asker, value, &page, sizeof(page));
	page.sequence = page.scale ? 1 : 0;
	if (verdict == HYPERV_DONE)
		verdict =
		    put(asker, value, &page.sequence, sizeof(page.sequence));
	if (verdict == HYPERV_DONE)
		asker->vm->reference_tsc = value;
	return verdict;
}

/* No EOI may be left out. */
static enum hyperv_verdict write_assist(const struct hyperv_asker *asker,
					u64 value)
{
	const u32 none = 0;
	enum hyperv_verdict verdict = put(asker, value, &none, sizeof(none));

	if (verdict == HYPERV_DONE)
		asker->vcpu->vp_assist = value;
	return verdict;
}

enum hyperv_verdict hyperv_msr_write(const struct hyperv_asker *asker, u32 msr,
				     u64 value)
{
	switch (msr) {
	case HYPERV_MSR_GUEST_OS_ID:
		return write_id(asker->vm, value);
	case HYPERV_MSR_HYPERCALL:
		return write_hypercall(asker, value);
	case HYPERV_MSR_REFERENCE_TSC:
		return write_reference_tsc(asker, value);
	case HYPERV_MSR_VP_ASSIST:
		return write_assist(asker, value);
	case HYPERV_MSR_TSC_INVARIANT:
		if (value & ~BIT(0))
			return HYPERV_FAULT;
		asker->vm->tsc_invariant = value;
		return HYPERV_DONE;
	case HYPERV_MSR_VP_INDEX:
	case HYPERV_MSR_TIME_COUNT:
	case HYPERV_MSR_TSC_HZ:
	case HYPERV_MSR_APIC_HZ:
		return HYPERV_FAULT; /* read-only */
	default:
		return HYPERV_ABSENT;
	}
}

bool hyperv_is_valid(const struct hyperv *vm)
{
	return !(vm->tsc_invariant & ~BIT(0)) &&
	       (vm->guest_os_id || !(vm->hypercall & HYPERV_PAGE_ENABLED));
}

/* --- Hypercalls ----------------------------------------------------------- */

#define CALL_CODE           BITS(15, 0)
#define CALL_FAST           BIT(16)
#define CALL_VARIABLE       BITS(26, 17)
#define CALL_REPETITIONS    BITS(43, 32)
#define CALL_RESERVED       (BITS(30, 27) | BIT(31) | BITS(47, 44) | BITS(63, 60))
#define CALL_LONG_SPIN_WAIT 0x0008u

u64 hyperv_call(u64 input, u64 input_address, enum hyperv_action *action)
{
	*action = HYPERV_NOTHING;
	if (bits_get(input, CALL_CODE) != CALL_LONG_SPIN_WAIT)
		return HYPERV_STATUS_INVALID_CODE;
	if (input & (CALL_RESERVED | CALL_VARIABLE | CALL_REPETITIONS))
		return HYPERV_STATUS_INVALID_INPUT;
	if (!(input & CALL_FAST) && input_address % sizeof(u64))
		return HYPERV_STATUS_INVALID_ALIGNMENT;
	*action = HYPERV_YIELD;
	return HYPERV_STATUS_SUCCESS;
}

/* --- The VP-assist page --------------------------------------------------- */

bool hyperv_wants_evmcs(const struct hyperv *vm, const struct hyperv_vcpu *vcpu,
			const struct guest_mem *mem, gpa_t *evmcs)
{
	gpa_t page = gpa(vcpu->vp_assist & PAGE_ADDRESS);
	u8 enlightened;
	u64 address;

	if (!vm->on || !(vcpu->vp_assist & HYPERV_PAGE_ENABLED) ||
	    guest_mem_read_u8(mem, gpa_add(page, HYPERV_ASSIST_ENLIGHTENED),
			      &enlightened) != OK ||
	    enlightened != 1 ||
	    guest_mem_read_u64(mem, gpa_add(page, HYPERV_ASSIST_EVMCS),
			       &address) != OK)
		return false;
	*evmcs = gpa(address);
	return true;
}
