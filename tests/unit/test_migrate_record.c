/* SPDX-License-Identifier: MIT */
/* The state record: nothing is lost in it, and nothing gets in with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/platform_steps.h"
#include "tests/unit/record_world.h"
#include "tests/unit/support.h"

static u8 first[WORLD_BYTES], second[WORLD_BYTES];

static void bring_somewhere(struct random *random, u32 steps)
{
	for (u32 i = 0; i < steps; i++) {
		struct step step = {
		    .what = (u8)random_next(random),
		    .where = (u8)random_next(random),
		    .value = random_next(random) >> random_below(random, 64),
		};

		perform(&step);
	}
}

static void assert_same(u32 bytes, u32 again)
{
	assert_int_equal(bytes, again);
	assert_memory_equal(first, second, bytes);
}

static void taken(u32 bytes)
{
	const char *why = load_world(first, bytes);

	if (why)
		fail_msg("refused: %s", why);
}

/* --- Nothing is lost ------------------------------------------------------ */

static void save_restore_save(u64 seed)
{
	struct random random = random_from(seed);
	u32 bytes;

	now_ns = 0;
	make_world();
	bring_somewhere(&random, 300);
	/* Then there are calls that wait until it runs. */
	platform.devices.console.state.ports[1].guest_open = seed % 2;
	bytes = save_world(first);
	taken(bytes);
	assert_same(bytes, save_world(second));
}

static void saved_again_it_is_the_same(void **state)
{
	(void)state;
	for_seeds(120, save_restore_save);
}

/* Two machines, one of which has moved: the same happens to both. */
static void go_on_alike(u64 seed)
{
	static u8 after[WORLD_BYTES], ram[FAKE_RAM_BYTES];
	struct random random = random_from(seed), future;
	u64 moment;
	u32 bytes, length;

	now_ns = 0;
	make_world();
	bring_somewhere(&random, 200);
	bytes = save_world(first);
	moment = now_ns;
	memcpy(ram, fake.ram, sizeof(ram));
	future = random;
	bring_somewhere(&random, 100);
	length = save_world(after);
	now_ns = moment;
	taken(bytes);
	memcpy(fake.ram, ram, sizeof(ram));
	bring_somewhere(&future, 100);
	assert_int_equal(length, save_world(second));
	assert_memory_equal(after, second, length);
}

static void what_has_moved_goes_on_as_if_it_had_not(void **state)
{
	(void)state;
	for_seeds(120, go_on_alike);
}

/* Where the first section of that type begins in `first`. */
static u32 section_at(enum record_type type)
{
	u32 at = 0, length;
	u16 found;

	for (;;) {
		memcpy(&found, first + at, sizeof(found));
		if (found == type)
			return at;
		memcpy(&length, first + at + 4, sizeof(length));
		at += 8 + length;
	}
}

/* In version 1: bytes, chain, has it, open, owed. */
#define PORT_BYTES (8 + 2 + 1 + 1 + 1)

static bool read_vm(u32 bytes, struct record_vm *vm)
{
	struct record_reader reader;

	memset(vm, 0x55, sizeof(*vm));
	record_read(&reader, first, bytes);
	record_get_vm(&reader, vm);
	return !reader.is_wrong;
}

/*
 * Version 1 did not tell whether a reset is to begin anew: it is not. Version 2
 * did not tell with what: nothing is the same.
 */
static void vm_comes_back_also_from_an_older_record(void **state)
{
	struct wire_writer writer = {.at = first, .room = sizeof(first)};
	const struct record_vm of = {
	    .vcpu_count = 2,
	    .physical_bits = 39,
	    .tsc_hz = 2000000000,
	    .apic_timer_hz = 1000000000,
	    .tsc = 12345,
	    .has_started = 1,
	    .restarts = 1,
	    .began_with = 0x8000123400005678,
	};
	struct record_vm found;

	(void)state;
	record_put_vm(&writer, &of);
	assert_true(read_vm(writer.filled, &found));
	assert_int_equal(found.vcpu_count, 2);
	assert_int_equal(found.tsc, 12345);
	assert_int_equal(found.has_started, 1);
	assert_int_equal(found.restarts, 1);
	assert_int_equal(found.began_with, 0x8000123400005678);
	first[2] = 2; /* the section's version; and it is shorter */
	first[4] -= 8;
	assert_true(read_vm(writer.filled - 8, &found));
	assert_int_equal(found.restarts, 1);
	assert_int_equal(found.began_with, 0);
	first[2] = 1;
	first[4]--;
	assert_true(read_vm(writer.filled - 9, &found));
	assert_int_equal(found.has_started, 1);
	assert_int_equal(found.restarts, 0);
	first[2] = 2;
	assert_false(read_vm(writer.filled - 9, &found));
}

/* What the VM's devices count are nanoseconds, which 64 bits must hold. */
static void time_of_hundreds_of_years_is_refused(void **state)
{
	struct record_vm of = {
	    .vcpu_count = 1,
	    .physical_bits = 39,
	    .tsc_hz = 500000000,
	    .apic_timer_hz = 1,
	    .tsc = 9223372036UL * 500000000 - 1,
	};
	struct record_vm found;

	(void)state;
	for (u32 i = 0; i < 2; i++, of.tsc++) {
		struct wire_writer writer = {.at = first,
					     .room = sizeof(first)};

		record_put_vm(&writer, &of);
		assert_int_equal(read_vm(writer.filled, &found), !i);
	}
}

/* Version 1 did not tell of the other end of a port: it was open. */
static void ports_come_back_also_from_an_older_record(void **state)
{
	const struct virtio_console_port_state *found =
	    platform.devices.console.state.ports;
	u32 bytes, at, length;

	(void)state;
	make_world();
	bytes = save_world(first);
	taken(bytes);
	assert_int_equal(found[0].host_open, 1);
	assert_int_equal(found[1].host_open, 0);
	/* The last section before the end, with a byte for each of two ports. */
	at = section_at(RECORD_VIRTIO_CONSOLE);
	memcpy(&length, first + at + 4, sizeof(length));
	first[at + 2] = 1;
	first[at + 4] -= 2; /* its last two fields: of each port one */
	length += 8;
	memmove(first + at + length - 1 - PORT_BYTES - 1,
		first + at + length - 1 - PORT_BYTES, PORT_BYTES);
	memmove(first + at + length - 2, first + at + length,
		bytes - at - length);
	taken(bytes - 2);
	assert_int_equal(found[0].host_open, 1);
	assert_int_equal(found[1].host_open, 1);
}

static void vcpu_comes_back_in_every_field(void **state)
{
	struct record_vcpu before[FAKE_VCPU_COUNT];
	u32 bytes;

	(void)state;
	now_ns = 5;
	make_world();
	memcpy(before, vcpus, sizeof(before));
	bytes = save_world(first);
	memset(vcpus, 0x55, sizeof(vcpus));
	memset(fpus, 0x55, sizeof(fpus));
	taken(bytes);
	assert_memory_equal(before, vcpus, sizeof(before));
	assert_int_equal(fpus[3].image[600], 3);
}

/* What WRMSR takes, a record takes. */
static void guest_that_steps_over_branches_moves(void **state)
{
	(void)state;
	make_world();
	vcpus[0].debugctl = DEBUGCTL_LBR | DEBUGCTL_BTF;
	taken(save_world(first));
	assert_int_equal(vcpus[0].debugctl, DEBUGCTL_LBR | DEBUGCTL_BTF);
}

static void vmx_operation_comes_back_in_every_field(void **state)
{
	struct nested_state before[FAKE_VCPU_COUNT];
	u32 bytes;

	(void)state;
	now_ns = 5;
	make_world();
	memcpy(before, nested, sizeof(before));
	bytes = save_world(first);
	memset(nested, 0x55, sizeof(nested));
	taken(bytes);
	for (u32 i = 0; i < FAKE_VCPU_COUNT; i++) {
		assert_true(gpa_equal(nested[i].vmxon, before[i].vmxon));
		assert_true(gpa_equal(nested[i].current, before[i].current));
		assert_int_equal(nested[i].vmcs12_changed,
				 before[i].vmcs12_changed);
		assert_memory_equal(&nested[i].vmcs12, &before[i].vmcs12,
				    sizeof(before[i].vmcs12));
	}
	assert_true(nested_has_current(&nested[1]));
	assert_true(nested_in_vmx(&nested[2]));
	assert_false(nested_in_vmx(&nested[0]));
}

static void l2_comes_back_in_every_field(void **state)
{
	struct record_l2 before[FAKE_VCPU_COUNT];
	u32 bytes;

	(void)state;
	now_ns = 5;
	make_world();
	memcpy(before, l2s, sizeof(before));
	bytes = save_world(first);
	memset(&l2s[3], 0x55, sizeof(l2s[3]));
	taken(bytes);
	assert_true(nested[3].in_l2);
	assert_memory_equal(before, l2s, sizeof(before));
	for (u32 i = 0; i < 3; i++)
		assert_false(nested[i].in_l2);
}

/* --- Nothing gets in ------------------------------------------------------ */

static void refused(const char *words)
{
	u32 bytes = save_world(first);
	const char *why = load_world(first, bytes);

	if (!why || !strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why ? why : "taken",
			 words);
	make_world();
}

static void vcpu_in_a_state_that_cannot_be_is_refused(void **state)
{
	(void)state;
	now_ns = 7;
	make_world();
	vcpus[1].rflags = 0;
	refused("vCPU 1: no CPU can be in that state");
	vcpus[0].cr3 = BIT(45);
	refused("CR3");
	vcpus[0].efer &= ~EFER_LMA;
	refused("no CPU");
	vcpus[0].cr4 |= BIT(30);
	refused("CR4");
	vcpus[0].lstar = BIT(60);
	refused("canonical");
	vcpus[0].kernel_gs_base = BIT(47);
	refused("canonical");
	vcpus[0].fmask = BIT(32);
	refused("fmask");
	vcpus[0].tsc_aux = BIT(32);
	refused("tsc_aux");
	vcpus[0].dr6 = BIT(33);
	refused("dr6");
	vcpus[0].debugctl = BIT(6);
	refused("debugctl");
	vcpus[0].xss = BIT(8);
	refused("xss");
	vcpus[0].xcr0 = 0xf;
	refused("XCR0");
	vcpus[0].xcr0 = 5;
	refused("XCR0");
	vcpus[0].pat = 2;
	refused("PAT");
	vcpus[0].spec_ctrl = 8;
	refused("IA32_SPEC_CTRL");
	vcpus[0].activity = 3;
	refused("activity");
	vcpus[0].index = 1;
	refused("number");
	vcpus[0].cr0 |= CR0_NW;
	refused("NW");
	vcpus[0].interruptibility = 3;
	refused("no CPU");
	vcpus[0].event = 0x80000b01;
	refused("no CPU");
	vcpus[0].event_error_code = 1;
	refused("event");
	vcpus[0].rights[1] = 0;
	refused("no CPU");
	vcpus[0].table_limit[0] = 0x10000;
	refused("no CPU");
}

static void vmx_operation_that_cannot_be_is_refused(void **state)
{
	(void)state;
	now_ns = 7;
	make_world();
	nested[1].vmxon = gpa(0x1001);
	refused("nested VMX: the VMXON pointer cannot be");
	nested[2].vmxon = gpa(BIT(40));
	refused("VMXON pointer");
	nested[1].current = gpa(0x2800);
	refused("current-VMCS pointer");
	nested[1].current = gpa(BIT(52));
	refused("current-VMCS pointer");
	nested[1].current = nested[1].vmxon;
	refused("current-VMCS pointer");
	nested[1].vmcs12.revision ^= 1;
	refused("revision");
	nested[1].vmcs12.launch_state = 2;
	refused("launch state");
	vcpus[2].cr4 &= ~CR4_VMXE;
	refused("such a CR4");
	vcpus[2].cr0 &= ~CR0_NE;
	refused("such a CR0");
	vcpus[2].feature_control = 0;
	refused("IA32_FEATURE_CONTROL");
	vcpus[2].feature_control &= ~FEATURE_CONTROL_LOCK;
	refused("IA32_FEATURE_CONTROL");
	vcpus[1].activity = RECORD_WAIT_FOR_SIPI;
	refused("start-up IPI");
}

static void l2_that_cannot_be_is_refused(void **state)
{
	(void)state;
	now_ns = 7;
	make_world();
	l2s[3].activity = 4;
	refused("activity");
	l2s[3].event = 0x80000100;
	refused("no CPU can be in that state of L2: injected event");
	l2s[3].event = 0;
	refused("L2: an event that is none");
	l2s[3].postponed_interrupt = 0x80000302;
	refused("an interrupt that is none");
	l2s[3].exception = 0x80000021;
	refused("an exception that is none");
	l2s[3].exception = 0x80000b20;
	refused("an exception that is none");
	l2s[3].efer = 0;
	refused("EFER");
	l2s[3].efer |= BIT(20);
	refused("efer");
	l2s[3].pat = 2;
	refused("PAT");
	l2s[3].dr7 |= BIT(40);
	refused("dr7");
	l2s[3].debugctl = BIT(6);
	refused("debugctl");
	l2s[3].cr0_kept = CR0_PG;
	refused("cr0_kept");
	nested[3].vmcs12.launch_state = VMCS12_CLEAR;
	refused("L2 without a launched VMCS");
	nested[3].current = gpa(NESTED_NO_POINTER);
	refused("L2 without a launched VMCS");
	nested[3].vmcs12.pin_controls &= ~(u32)PIN_PREEMPTION_TIMER;
	refused("preemption timer");
	nested[3].vmcs12.guest_cr3 = BIT(50);
	refused("guest CR3");
	nested[3].vmcs12.host_cr4 = 0;
	refused("host CR4");
	nested[3].vmcs12.ept_pointer = 7;
	refused("EPT pointer");
	nested[3].vmcs12.msr_bitmap = BIT(45);
	refused("MSR");
	nested[3].vmcs12.link_pointer = 8;
	refused("link");
	vcpus[3].event = 0x80000041;
	refused("an L1 that waits for its own events");
	vcpus[3].activity = RECORD_HALTED;
	refused("an L1 that waits for its own events");
}

/* --- Bugs that others have had: docs/NESTED-STATE.md lists them ------------
 */

static void make_32_bit_l2(void)
{
	struct vmcs12 *v = &nested[3].vmcs12;

	v->entry_controls &= ~(u32)ENTRY_IA32E_MODE_GUEST;
	v->guest_rights[SEG12_CS] = 0xc09b;
	v->guest_rip = 0x100000;
	l2s[3].efer = EFER_NXE;
	l2s[3].pdpte[0] = 0x15001;
	l2s[3].pdpte[1] = l2s[3].pdpte[2] = l2s[3].pdpte[3] = 0;
}

static void efer_of_a_32_bit_l2_is_not_taken_for_l1s(void **state)
{
	u64 l1s;

	(void)state;
	make_world();
	make_32_bit_l2();
	l1s = vcpus[3].efer;
	taken(save_world(first));
	assert_int_equal(l2s[3].efer, EFER_NXE);
	assert_int_equal(vcpus[3].efer, l1s);
	assert_true(l1s & EFER_LMA);
}

/* L2's own, as its CPU has them: not L1's, nor what memory says by now. */
static void pdptes_of_l2_are_not_found_by_another_cr3(void **state)
{
	(void)state;
	make_world();
	make_32_bit_l2();
	vcpus[3].pdpte[0] = 0x99001;
	nested[3].vmcs12.guest_pdpte[0] = 0x77001;
	taken(save_world(first));
	assert_int_equal(l2s[3].pdpte[0], 0x15001);
	assert_int_equal(vcpus[3].pdpte[0], 0x99001);
	l2s[3].pdpte[1] = 0x2000 | BIT(5) | BIT(0);
	refused("PDPTE");
}

static void preemption_timer_goes_on_from_where_it_was(void **state)
{
	(void)state;
	make_world();
	nested[3].vmcs12.preemption_timer = 1000000;
	l2s[3].timer_deadline = 0x1122334455667788UL;
	taken(save_world(first));
	assert_int_equal(l2s[3].timer_runs, 1);
	assert_int_equal(l2s[3].timer_deadline, 0x1122334455667788UL);
}

static void vmcs12_that_was_saved_is_checked_again(void **state)
{
	(void)state;
	make_world();
	nested[3].vmcs12.guest_rights[SEG12_TR] = 0;
	refused("no CPU can be in that state of L2");
	nested[3].vmcs12.host_rip = 0x0000800000000000UL;
	refused("no CPU can be in that state of L2");
	nested[3].vmcs12.io_bitmap_a = BIT(60);
	refused("no CPU can be in that state of L2");
}

/* Without virtual NMIs they are blocked in vmcs12 alone: an NMI can go in. */
static void nmi_goes_in_where_nmis_are_held(void **state)
{
	(void)state;
	make_world();
	l2s[3].event = (u32)(EVENT_VALID | (u32)EVENT_NMI << 8 | EXCEPTION_NMI);
	nested[3].vmcs12.guest_interruptibility = (u32)BLOCKING_BY_NMI;
	nested[3].vmcs12.pin_controls |= (u32)PIN_NMI;
	nested[3].vmcs12.pin_controls &= ~(u32)PIN_VIRTUAL_NMIS;
	taken(save_world(first));
	assert_int_equal(nested[3].vmcs12.guest_interruptibility,
			 BLOCKING_BY_NMI);
	nested[3].vmcs12.pin_controls |= (u32)PIN_VIRTUAL_NMIS;
	refused("injected NMI with virtual-NMI blocking");
}

static void vmxon_pointer_goes_with_vmxoff(void **state)
{
	u32 bytes;

	(void)state;
	make_world();
	nested_state_reset(&nested[2]);
	bytes = save_world(first);
	memset(&nested[2], 0x55, sizeof(nested[2]));
	taken(bytes);
	assert_false(nested_in_vmx(&nested[2]));
}

/* A shadow VMCS may be current, but only where there are any. */
static void shadow_vmcs_needs_vmcs_shadowing(void **state)
{
	u32 *may_be_1 = &offer.words[CONTROLS_SECONDARY].may_be_1;

	(void)state;
	make_world();
	nested[1].vmcs12.revision |= (u32)VMCS12_SHADOW;
	*may_be_1 |= (u32)SECONDARY_VMCS_SHADOWING;
	taken(save_world(first));
	*may_be_1 &= ~(u32)SECONDARY_VMCS_SHADOWING;
	refused("shadow VMCS");
}

/* The section has neither more nor less than its flags say. */
static void section_of_vmx_has_its_own_length(void **state)
{
	const u32 head = 8, pointers = 16;
	struct wire_writer writer = {.at = first, .room = WORLD_BYTES};
	static struct record_reader reader;
	struct record_l1 l1 = {&vcpus[1], &offer, 40, NULL};

	(void)state;
	make_world();
	record_put_nested(&writer, &nested[1]);
	assert_int_equal(writer.filled,
			 head + pointers + 1 + sizeof(struct vmcs12));
	for (u32 bytes = 0; bytes < writer.filled; bytes++) {
		u32 contents = bytes > head ? bytes - head : 0;

		memcpy(first + 4, &contents, sizeof(contents));
		record_read(&reader, first, bytes);
		record_get_nested(&reader, &l1, &nested[3]);
		assert_true(reader.is_wrong && reader.why[0]);
	}
}

/* --- Enlightened VMCSs, and bugs that others have had with them ------------ */

static void interface_of_hyperv_comes_back_in_every_field(void **state)
{
	struct hyperv before;
	struct hyperv_vcpu vcpus_before[FAKE_VCPU_COUNT];
	u32 bytes;

	(void)state;
	make_enlightened_world();
	before = hyperv;
	memcpy(vcpus_before, hyperv_vcpus, sizeof(vcpus_before));
	bytes = save_world(first);
	memset(hyperv_vcpus, 0x55, sizeof(hyperv_vcpus));
	taken(bytes);
	assert_int_equal(hyperv.on, 1);
	assert_int_equal(hyperv.guest_os_id, before.guest_os_id);
	assert_int_equal(hyperv.hypercall, before.hypercall);
	assert_int_equal(hyperv.reference_tsc, before.reference_tsc);
	assert_int_equal(hyperv.tsc_invariant, before.tsc_invariant);
	assert_memory_equal(vcpus_before, hyperv_vcpus, sizeof(vcpus_before));
	make_world();
	taken(save_world(first));
	assert_int_equal(hyperv.on, 0);
}

static void interface_of_hyperv_that_cannot_be_is_refused(void **state)
{
	(void)state;
	make_enlightened_world();
	hyperv.guest_os_id = 0;
	refused("a hypercall page of a guest without a name");
	make_enlightened_world();
	hyperv.tsc_invariant = 2;
	refused("tsc_invariant");
	make_enlightened_world();
	offer = full_offer();
	refused("more than an enlightened VMCS has fields for");
}

/* Nothing runs between, and it is in use all the time. */
static void save_right_after_restore_keeps_the_evmcs(void **state)
{
	u32 bytes;

	(void)state;
	make_enlightened_world();
	bytes = save_world(first);
	memset(nested, 0x55, sizeof(nested));
	for (u32 i = 0; i < 3; i++) {
		taken(bytes);
		assert_true(nested[1].is_enlightened);
		assert_int_equal(gpa_raw(nested[1].evmcs), 0x15000);
		assert_false(nested_has_current(&nested[1]));
		assert_true(nested[3].is_enlightened && nested[3].in_l2);
		assert_int_equal(gpa_raw(nested[3].evmcs), 0x16000);
		assert_false(nested[2].is_enlightened);
		assert_same(bytes, save_world(second));
	}
}

/*
 * What L1 calls clean when it enters next was clean for a CPU that had the
 * fields: the one that it has come to reads them all.
 */
static void clean_fields_are_not_trusted_after_a_move(void **state)
{
	(void)state;
	make_enlightened_world();
	nested[1].evmcs_is_known = nested[3].evmcs_is_known = true;
	taken(save_world(first));
	assert_false(nested[1].evmcs_is_known);
	assert_false(nested[3].evmcs_is_known);
}

/* The VP-assist page says it, once there is memory to look at. */
static void record_without_the_address_loads(void **state)
{
	u32 bytes;

	(void)state;
	make_enlightened_world();
	nested[1].evmcs = nested[3].evmcs = gpa(NESTED_NO_POINTER);
	bytes = save_world(first);
	taken(bytes);
	assert_true(nested[1].is_enlightened && nested[3].is_enlightened);
	assert_false(nested_knows_evmcs(&nested[3]));
	assert_same(bytes, save_world(second));
	/* And once there is: */
	assert_int_equal(nested_find_evmcs(&nested[3], gpa(0x16008), 40),
			 ERR_NOT_FOUND);
	assert_int_equal(nested_find_evmcs(&nested[3], gpa(BIT(40)), 40),
			 ERR_NOT_FOUND);
	assert_int_equal(nested_find_evmcs(&nested[3], nested[3].vmxon, 40),
			 ERR_NOT_FOUND);
	assert_false(nested_knows_evmcs(&nested[3]));
	assert_int_equal(nested_find_evmcs(&nested[3], gpa(0x16000), 40), OK);
	assert_int_equal(gpa_raw(nested[3].evmcs), 0x16000);
	/* L2 could not exit if nothing led there. */
	make_enlightened_world();
	nested[3].evmcs = gpa(NESTED_NO_POINTER);
	hyperv_vcpus[3].vp_assist &= ~HYPERV_PAGE_ENABLED;
	refused("an enlightened VMCS that nothing leads to");
}

static void evmcs_that_cannot_be_is_refused(void **state)
{
	static const u64 bad[] = {0x15001, 0x15800, BIT(40), BIT(52), 0x1000};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(bad); i++) {
		make_enlightened_world();
		nested[1].evmcs = gpa(bad[i]);
		refused("the address of the enlightened VMCS");
	}
	make_enlightened_world();
	nested[1].current = gpa(0x2000);
	refused("a current VMCS beside an enlightened one");
	make_enlightened_world();
	nested[1].vmcs12.revision |= (u32)VMCS12_SHADOW;
	refused("shadow VMCS");
	make_enlightened_world();
	nested[3].vmcs12.launch_state = VMCS12_CLEAR;
	refused("L2 without a launched VMCS");
	make_enlightened_world();
	nested[3].vmcs12.secondary_controls |= (u32)SECONDARY_PML;
	refused("no CPU can be in that state of L2");
	/* Without the interface nobody can have one. */
	make_world();
	make_enlightened(&nested[1], 0x15000);
	refused("an enlightened VMCS, which this VM has not got");
}

/* The address goes with its use, or not at all. */
static void address_of_no_evmcs_is_refused(void **state)
{
	struct wire_writer writer = {.at = first, .room = WORLD_BYTES};
	static struct record_reader reader;
	struct record_l1 l1 = {&vcpus[1], &offer, 40, &hyperv_vcpus[1]};

	(void)state;
	make_enlightened_world();
	record_put_evmcs(&writer, &nested[1]);
	record_read(&reader, first, writer.filled);
	record_get_evmcs(&reader, &l1, &nested[2]);
	assert_true(reader.is_wrong);
	assert_non_null(strstr(reader.why, "one that is not used"));
}

static void memory_types_that_no_wrmsr_takes_are_refused(void **state)
{
	(void)state;
	make_world();
	vcpus[0].mtrr.values[0] = 7;
	refused("memory-type");
	vcpus[1].mtrr.values[MTRR_COUNT - 1] = BIT(63);
	refused("memory-type");
}

static void fpu_state_on_which_xrstor_faults_is_refused(void **state)
{
	(void)state;
	make_world();
	fpus[0].image[26] = 1;
	refused("MXCSR");
	fpus[0].image[512] = 0x0f;
	refused("components");
	fpus[0].image[527] = 0x80;
	refused("header");
	fpus[0].image[575] = 1;
	refused("header");
}

static void local_apic_that_cannot_be_is_refused(void **state)
{
	(void)state;
	make_world();
	lapics[2].page[LAPIC_IRR / 4] = 1; /* vector 0 */
	refused("local APIC");
	lapics[2].base |= BIT(45);
	refused("local APIC");
	lapics[2].base = APIC_BASE_X2APIC;
	refused("local APIC");
	lapics[2].page[LAPIC_ID / 4] = 0;
	refused("local APIC");
	lapics[2].events = BIT(20);
	refused("local APIC");
}

/* What a guest may switch on comes with it, too; Umbra does switch it on. */
static void components_that_xsetbv_refuses_are_refused(void **state)
{
	static const u64 allowed[] = {1, 3, 7, 5, 2, 6, 4};

	(void)state;
	make_world();
	vcpus[0].xcr0 = 1;
	for (u32 i = 0; i < ARRAY_COUNT(allowed); i++) {
		struct record_host host = world_host;
		struct wire_writer writer = {.at = first,
					     .room = sizeof(first)};
		struct record_reader reader;
		struct record_vcpu found;

		host.xcr0 = allowed[i];
		record_put_vcpu(&writer, &vcpus[0]);
		record_read(&reader, first, writer.filled);
		record_get_vcpu(&reader, &host, &found);
		assert_int_equal(reader.is_wrong, i >= 3);
		if (i >= 3)
			assert_non_null(strstr(reader.why, "XCR0"));
	}
}

static void device_that_cannot_be_is_refused(void **state)
{
	struct platform_devices *d = &platform.devices;

	(void)state;
	make_world();
	d->com1.received.count = 17;
	refused("FIFO");
	d->pit.channels[2].mode = 6;
	refused("mode");
	d->pit.channels[1].count = 65537;
	refused("count");
	d->pic.chips[1].elcr = 1;
	refused("ELCR");
	d->pic.chips[0].expects = 1;
	refused("word");
	d->ioapic.entries[3] = BIT(20);
	refused("entries");
	d->rtc.seen_ns = now_ns + 1;
	refused("time to come");
	d->rtc.epoch_s = INT64_MIN;
	refused("date");
	d->rtc.index = 200;
	refused("index");
	d->pm.seen_ns = now_ns + 1;
	refused("time to come");
	d->bridge.state.config[0] ^= 1;
	refused("configuration space");
	d->console.virtio.state.queues[0].size = 48;
	refused("size of a queue");
	d->console.virtio.state.queues[5].vector = 9;
	refused("vector");
	d->console.virtio.state.status = VIRTIO_FEATURES_OK;
	refused("features");
	d->console.state.ports[0].owed = BIT(7); /* a console has no name */
	refused("owed");
	d->console.state.ports[1].head = VIRTQUEUE_SIZE_MAX;
	refused("head");
}

/* The record's own form. */

static void says(const u8 *data, u32 bytes, const char *words)
{
	const char *why = load_world(data, bytes);

	assert_non_null(why);
	if (!strstr(why, words))
		fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void form_that_is_wrong_is_refused_in_words(void **state)
{
	u32 bytes;

	(void)state;
	now_ns = 9;
	make_world();
	bytes = save_world(first);
	for (u32 i = 0; i < bytes; i++)
		assert_non_null(load_world(first, i));
	first[bytes] = 0;
	says(first, bytes + 1, "follows");
	first[0] = 0x70;
	says(first, bytes, "does not know");
	first[0] = RECORD_RTC;
	says(first, bytes, "section RTC where vCPU belongs");
	first[0] = RECORD_VCPU;
	first[2] = 2;
	says(first, bytes, "version 2");
	first[2] = 0;
	says(first, bytes, "version 0");
	first[2] = 1;
	first[4]++;
	says(first, bytes, "too long");
	first[4] -= 2;
	says(first, bytes, "too short");
	first[7] = 0xff;
	says(first, bytes, "cut off");
}

/* Every bit of a record may be wrong; nothing but words comes of it. */
static void try_all_bits(void (*make)(void))
{
	struct random random = random_from(3);
	u32 bytes, tried = 0, well = 0;

	now_ns = 11;
	make();
	bring_somewhere(&random, 100);
	bytes = save_world(first);
	for (u32 bit = 0; bit < bytes * 8;
	     bit += 1 + (u32)random_below(&random, 7)) {
		tried++;
		first[bit / 8] ^= (u8)(1U << bit % 8);
		well += !load_world(first, bytes);
		first[bit / 8] ^= (u8)(1U << bit % 8);
	}
	/* Registers hold any value; structure does not. */
	assert_true(well > tried / 8 && well < tried);
}

static void no_bit_does_harm(void **state)
{
	(void)state;
	try_all_bits(make_world);
	try_all_bits(make_enlightened_world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(saved_again_it_is_the_same),
	    cmocka_unit_test(what_has_moved_goes_on_as_if_it_had_not),
	    cmocka_unit_test(vm_comes_back_also_from_an_older_record),
	    cmocka_unit_test(time_of_hundreds_of_years_is_refused),
	    cmocka_unit_test(ports_come_back_also_from_an_older_record),
	    cmocka_unit_test(vcpu_comes_back_in_every_field),
	    cmocka_unit_test(vmx_operation_comes_back_in_every_field),
	    cmocka_unit_test(vmx_operation_that_cannot_be_is_refused),
	    cmocka_unit_test(guest_that_steps_over_branches_moves),
	    cmocka_unit_test(l2_comes_back_in_every_field),
	    cmocka_unit_test(l2_that_cannot_be_is_refused),
	    cmocka_unit_test(efer_of_a_32_bit_l2_is_not_taken_for_l1s),
	    cmocka_unit_test(pdptes_of_l2_are_not_found_by_another_cr3),
	    cmocka_unit_test(preemption_timer_goes_on_from_where_it_was),
	    cmocka_unit_test(nmi_goes_in_where_nmis_are_held),
	    cmocka_unit_test(vmcs12_that_was_saved_is_checked_again),
	    cmocka_unit_test(vmxon_pointer_goes_with_vmxoff),
	    cmocka_unit_test(shadow_vmcs_needs_vmcs_shadowing),
	    cmocka_unit_test(section_of_vmx_has_its_own_length),
	    cmocka_unit_test(interface_of_hyperv_comes_back_in_every_field),
	    cmocka_unit_test(interface_of_hyperv_that_cannot_be_is_refused),
	    cmocka_unit_test(save_right_after_restore_keeps_the_evmcs),
	    cmocka_unit_test(clean_fields_are_not_trusted_after_a_move),
	    cmocka_unit_test(record_without_the_address_loads),
	    cmocka_unit_test(evmcs_that_cannot_be_is_refused),
	    cmocka_unit_test(address_of_no_evmcs_is_refused),
	    cmocka_unit_test(vcpu_in_a_state_that_cannot_be_is_refused),
	    cmocka_unit_test(memory_types_that_no_wrmsr_takes_are_refused),
	    cmocka_unit_test(fpu_state_on_which_xrstor_faults_is_refused),
	    cmocka_unit_test(local_apic_that_cannot_be_is_refused),
	    cmocka_unit_test(components_that_xsetbv_refuses_are_refused),
	    cmocka_unit_test(device_that_cannot_be_is_refused),
	    cmocka_unit_test(form_that_is_wrong_is_refused_in_words),
	    cmocka_unit_test(no_bit_does_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
