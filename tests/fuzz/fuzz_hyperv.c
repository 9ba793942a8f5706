/* SPDX-License-Identifier: MIT */
/*
 * A hostile user of the interface of Hyper-V: any MSR with any value, any
 * hypercall, any bytes in the VP-assist page. What is refused changes nothing,
 * and what is left behind is a state that moves.
 */
#include "devices/hyperv.h"
#include "mm/frame_alloc.h"
#include "tests/fuzz/fuzz.h"

#define RAM_BYTES (16 * PAGE_4K)

static struct guest_mem mem;
static struct hyperv vm;
static struct hyperv_vcpu vcpu;

struct step {
	u8 what, msr;
	u16 at;
	u32 tsc;
	u64 value;
};

static void begin(void)
{
	fuzz_open_window(MIB, 2 * MIB);
	frame_alloc_init();
	REQUIRE(frame_alloc_add(hpa(MIB), MIB) == OK);
	REQUIRE(guest_mem_create(&mem, gpa(GIB), "test") == OK);
	REQUIRE(guest_mem_add(&mem, gpa(0), RAM_BYTES) == OK);
}

static bool is_same(const struct hyperv *a, const struct hyperv *b)
{
	return a->guest_os_id == b->guest_os_id &&
	       a->hypercall == b->hypercall &&
	       a->reference_tsc == b->reference_tsc &&
	       a->tsc_invariant == b->tsc_invariant;
}

static void use_msr(const struct step *step)
{
	const struct hyperv before = vm;
	const struct hyperv_asker asker = {
	    .vm = &vm,
	    .vcpu = &vcpu,
	    .mem = &mem,
	    .tsc = step->value,
	    .tsc_hz = step->tsc,
	    .apic_timer_hz = step->tsc,
	};
	u32 msr = HYPERV_MSR_FIRST + step->msr + (step->what & 1 ? 0x100 : 0);
	u64 value;

	if (hyperv_msr_write(&asker, msr, step->value) != HYPERV_DONE)
		REQUIRE(is_same(&before, &vm));
	else
		REQUIRE(hyperv_msr_read(&asker, msr, &value) == HYPERV_DONE);
	REQUIRE(hyperv_is_valid(&vm));
	(void)hyperv_reference_time(step->value, step->tsc);
}

static void use_step(const struct step *step)
{
	enum hyperv_action action;
	gpa_t evmcs;

	use_msr(step);
	if (step->what & 2)
		vcpu.vp_assist = step->value; /* as a record brings it */
	if (step->what & 4)
		REQUIRE(guest_mem_write(&mem, gpa(step->at % RAM_BYTES),
					&step->value, 1) == OK);
	(void)hyperv_wants_evmcs(&vm, &vcpu, &mem, &evmcs);
	(void)hyperv_call(step->value, step->tsc, &action);
	(void)hyperv_cpuid(&(struct hyperv_offer){.nested = step->what & 8},
			   HYPERV_CPUID_FIRST + step->msr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct step step;

	if (!mem.slot_count)
		begin();
	vm = (struct hyperv){.on = true};
	vcpu = (struct hyperv_vcpu){0};
	for (; size >= sizeof(step);
	     data += sizeof(step), size -= sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		use_step(&step);
	}
	return 0;
}
