/* SPDX-License-Identifier: MIT */
/*
 * VMCSs that wait in slots: whatever L1 does, it sees what it would see if each
 * of them were in memory when it is not current. Two vCPUs execute the same;
 * one has slots, the other has not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/x86.h"
#include "nested/host_state.h"
#include "nested/slots.h"
#include "tests/unit/nested_state.h"
#include "tests/unit/support.h"

#define REGIONS    10u
#define ACTIONS    4000u
#define FIRST_PAGE (L1_RAM_BYTES + PAGE_4K) /* behind a hole */

enum which { WITH_SLOTS, WITHOUT, BOTH };

static struct guest_mem mem[BOTH];
static struct nested_state nested[BOTH];
static struct nested_slots slots;
static struct nested_capability offer;
static u64 gpr[BOTH][16];

static u64 region(u32 number)
{
	return FIRST_PAGE + number * PAGE_4K;
}

static void begin(void)
{
	frame_alloc_init();
	assert_int_equal(frame_alloc_add(hpa(MIB), 4 * MIB), OK);
	offer = full_offer();
	for (u32 i = 0; i < BOTH; i++) {
		assert_int_equal(guest_mem_create(&mem[i], gpa(GIB), "test"),
				 OK);
		assert_int_equal(
		    guest_mem_add(&mem[i], gpa(FIRST_PAGE), REGIONS * PAGE_4K),
		    OK);
		nested_state_reset(&nested[i]);
		nested[i].vmxon = gpa(PAGE_VMXON);
		for (u32 n = 0; n < REGIONS; n++)
			put_u32(&mem[i], region(n), NESTED_REVISION);
	}
	nested[WITH_SLOTS].slots = &slots;
	nested_slots_reset(&slots);
}

static struct nested_result execute(enum which who, enum exit_reason reason,
				    u64 pointer)
{
	struct nested_cpu cpu = {
	    .state = &nested[who],
	    .offer = &offer,
	    .mem = &mem[who],
	    .gpr = gpr[who],
	    .paging = {.rflags = 2, .phys_bits = L1_PHYS_BITS},
	    .pointer = &pointer,
	};

	return nested_execute(&cpu,
			      &(struct nested_instruction){.reason = reason});
}

static void execute_both(enum exit_reason reason, u64 pointer)
{
	struct nested_result with = execute(WITH_SLOTS, reason, pointer);
	struct nested_result without = execute(WITHOUT, reason, pointer);

	assert_int_equal(with.outcome, without.outcome);
	assert_int_equal(with.rflags, without.rflags);
	assert_int_equal(gpa_raw(nested[WITH_SLOTS].current),
			 gpa_raw(nested[WITHOUT].current));
}

static void write_both(u64 value)
{
	for (u32 i = 0; i < BOTH; i++) {
		nested[i].vmcs12.guest_rip = value;
		nested[i].vmcs12_changed = true;
	}
}

static bool has_current(void)
{
	return nested_has_current(&nested[WITHOUT]);
}

static const void *bytes_of(enum which who, u32 number)
{
	return guest_mem_ptr(&mem[who], gpa(region(number)), PAGE_4K);
}

static void assert_same_memory(u32 number)
{
	assert_memory_equal(bytes_of(WITH_SLOTS, number),
			    bytes_of(WITHOUT, number), PAGE_4K);
}

static void assert_same_current(void)
{
	if (has_current())
		assert_memory_equal(&nested[WITH_SLOTS].vmcs12,
				    &nested[WITHOUT].vmcs12,
				    sizeof(struct vmcs12));
}

/* As a peer has it, who gets the pages that are marked. */
static u8 peer[REGIONS][PAGE_4K];

static void send_marked(void)
{
	for (u32 n = 0; n < REGIONS; n++)
		if (dirty_log_is_marked(&mem[WITH_SLOTS].log, gpa(region(n))))
			memcpy(peer[n], bytes_of(WITH_SLOTS, n), PAGE_4K);
}

static void clear_log(void)
{
	static struct dirty_word words[64];
	struct dirty_batch batch = {words, ARRAY_COUNT(words), 0};
	struct dirty_log *log = &mem[WITH_SLOTS].log;

	dirty_log_take(log, gpa(0), dirty_log_end(log), &batch);
}

/* The vCPU is saved, and goes on elsewhere: with the slots of a new vCPU. */
static void move(void)
{
	nested_slots_write_back(&nested[WITH_SLOTS], &mem[WITH_SLOTS]);
	send_marked();
	clear_log();
	for (u32 n = 0; n < REGIONS; n++) {
		assert_memory_equal(peer[n], bytes_of(WITH_SLOTS, n), PAGE_4K);
		if (!gpa_equal(gpa(region(n)), nested[WITHOUT].current))
			assert_same_memory(n);
	}
	nested_slots_reset(&slots);
}

static void act(struct random *random)
{
	u32 number = (u32)random_below(random, REGIONS);
	u64 at = region(number);

	switch (random_below(random, 16)) {
	case 0 ... 6:
		execute_both(EXIT_VMPTRLD, at);
		break;
	case 7:
		execute_both(EXIT_VMCLEAR, at);
		assert_same_memory(number);
		break;
	case 8:
		if (gpa_equal(gpa(at), nested[WITHOUT].current))
			break;
		assert_true(nested_clear_another(
		    &nested[WITH_SLOTS], &mem[WITH_SLOTS], L1_PHYS_BITS, at));
		execute(WITHOUT, EXIT_VMCLEAR, at);
		assert_same_memory(number);
		break;
	case 9:
		if (random_below(random, 20))
			break;
		execute_both(EXIT_VMXOFF, 0);
		for (u32 n = 0; n < REGIONS; n++)
			assert_same_memory(n);
		nested[0].vmxon = nested[1].vmxon = gpa(PAGE_VMXON);
		break;
	case 10:
		if (random_below(random, 20) == 0)
			move();
		break;
	case 11:
		if (has_current())
			for (u32 i = 0; i < BOTH; i++)
				nested_launched(&nested[i]);
		break;
	default:
		if (has_current())
			write_both(random_next(random));
		break;
	}
	assert_same_current();
}

static void slots_are_not_seen(void **state)
{
	(void)state;
	for (u64 seed = 1; seed <= 20; seed++) {
		struct random random = random_from(seed);

		begin();
		move();
		for (u32 n = 0; n < REGIONS; n++)
			memcpy(peer[n], bytes_of(WITH_SLOTS, n), PAGE_4K);
		for (u32 i = 0; i < ACTIONS; i++)
			act(&random);
	}
}

static void vmptrld(u32 number)
{
	assert_int_equal(
	    execute(WITH_SLOTS, EXIT_VMPTRLD, region(number)).outcome,
	    NESTED_DONE);
}

/* What belongs to a slot is good as long as the VMCS in it is the same. */
static void slot_says_when_it_has_another(void **state)
{
	u32 slot;

	(void)state;
	begin();
	vmptrld(0);
	slot = slots.current;
	slots.slots[slot].is_new = false;
	vmptrld(1);
	assert_int_not_equal(slots.current, slot);
	assert_true(slots.slots[slots.current].is_new);
	vmptrld(0);
	assert_int_equal(slots.current, slot);
	assert_false(slots.slots[slot].is_new);
	/* Cleared in between, current or parked. */
	execute(WITH_SLOTS, EXIT_VMCLEAR, region(0));
	vmptrld(0);
	assert_true(slots.slots[slots.current].is_new);
	slots.slots[slots.current].is_new = false;
	vmptrld(1);
	execute(WITH_SLOTS, EXIT_VMCLEAR, region(0));
	vmptrld(0);
	assert_true(slots.slots[slots.current].is_new);
}

static void oldest_gives_way(void **state)
{
	(void)state;
	begin();
	for (u32 n = 0; n < NESTED_SLOTS; n++) {
		vmptrld(n);
		nested[WITH_SLOTS].vmcs12.guest_rip = 100 + n;
		nested[WITH_SLOTS].vmcs12_changed = true;
	}
	assert_int_not_equal(nested_slots_find(&slots, gpa(region(0))),
			     NESTED_SLOTS);
	vmptrld(NESTED_SLOTS);
	assert_int_equal(nested_slots_find(&slots, gpa(region(0))),
			 NESTED_SLOTS);
	assert_int_not_equal(nested_slots_find(&slots, gpa(region(1))),
			     NESTED_SLOTS);
	vmptrld(0);
	assert_int_equal(nested[WITH_SLOTS].vmcs12.guest_rip, 100);
}

/* L2 goes by its link pointer to what is in memory. */
static void linked_vmcs_is_in_memory_at_entry(void **state)
{
	struct vmcs12 *v = &nested[WITH_SLOTS].vmcs12;
	u64 rip;

	(void)state;
	begin();
	put_u32(&mem[WITH_SLOTS], region(1),
		NESTED_REVISION | (u32)VMCS12_SHADOW);
	vmptrld(1);
	v->guest_rip = 0x1234;
	nested[WITH_SLOTS].vmcs12_changed = true;
	vmptrld(0);
	v->primary_controls = (u32)PRIMARY_SECONDARY;
	v->secondary_controls = (u32)SECONDARY_VMCS_SHADOWING;
	v->link_pointer = region(1);
	assert_int_equal(execute(WITH_SLOTS, EXIT_VMLAUNCH, 0).outcome,
			 NESTED_ENTER);
	memcpy(&rip,
	       (const u8 *)bytes_of(WITH_SLOTS, 1) +
		   offsetof(struct vmcs12, guest_rip),
	       sizeof(rip));
	assert_int_equal(rip, 0x1234);
}

/* --- What exits load ------------------------------------------------------ */

#define LOADED(field) host.values[HOST_STATE_VMCS_GUEST_##field]

static const struct vmcs12 with_host = {
    .host_selector = {0, 0x08, 0x10, 0, 0x18, 0},
    .host_tr_selector = 0x20,
    .host_fs_base = 0xf5,
    .host_gs_base = 0x65,
    .host_tr_base = 0x75,
    .host_gdtr_base = 0x6d,
    .host_idtr_base = 0x1d,
    .host_cr3 = 0x3000,
    .host_rip = 0x1111,
    .host_rsp = 0x2222,
    .host_sysenter_cs = 0x30,
    .host_sysenter_esp = 0x31,
    .host_sysenter_eip = 0x32,
    .exit_controls = (u32)EXIT_HOST_ADDRESS_SPACE_SIZE,
};

static void host_segments_are_as_in_the_manual(void **state)
{
	struct vmcs12 v = with_host;
	struct nested_host_state host;

	(void)state;
	nested_host_make(&v, &host);
	assert_int_equal(LOADED(CS_SELECTOR), 0x08);
	assert_int_equal(LOADED(CS_BASE), 0);
	assert_int_equal(LOADED(CS_LIMIT), 0xffffffff);
	assert_int_equal(LOADED(CS_ACCESS_RIGHTS), 0xa09b);
	/* A null selector is unusable, whatever its base. */
	assert_int_equal(LOADED(ES_ACCESS_RIGHTS), 0x1c093);
	assert_int_equal(LOADED(SS_ACCESS_RIGHTS), 0xc093);
	assert_int_equal(LOADED(DS_ACCESS_RIGHTS), 0x1c093);
	assert_int_equal(LOADED(FS_ACCESS_RIGHTS), 0xc093);
	assert_int_equal(LOADED(FS_BASE), 0xf5);
	assert_int_equal(LOADED(GS_ACCESS_RIGHTS), 0x1c093);
	assert_int_equal(LOADED(GS_BASE), 0x65);
	assert_int_equal(LOADED(TR_SELECTOR), 0x20);
	assert_int_equal(LOADED(TR_BASE), 0x75);
	assert_int_equal(LOADED(TR_LIMIT), 0x67);
	assert_int_equal(LOADED(TR_ACCESS_RIGHTS), 0x8b);
	assert_int_equal(LOADED(LDTR_SELECTOR), 0);
	assert_int_equal(LOADED(LDTR_ACCESS_RIGHTS), 0x10000);
	assert_int_equal(LOADED(GDTR_BASE), 0x6d);
	assert_int_equal(LOADED(GDTR_LIMIT), 0xffff);
	assert_int_equal(LOADED(IDTR_BASE), 0x1d);
	assert_int_equal(LOADED(IDTR_LIMIT), 0xffff);
	v.exit_controls = 0;
	nested_host_make(&v, &host);
	assert_int_equal(LOADED(CS_ACCESS_RIGHTS), 0xc09b);
}

static void host_registers_are_as_in_the_manual(void **state)
{
	struct nested_host_state host;

	(void)state;
	nested_host_make(&with_host, &host);
	assert_int_equal(LOADED(CR3), 0x3000);
	assert_int_equal(LOADED(DR7), 0x400);
	assert_int_equal(LOADED(DEBUGCTL), 0);
	assert_int_equal(LOADED(SYSENTER_CS), 0x30);
	assert_int_equal(LOADED(SYSENTER_ESP), 0x31);
	assert_int_equal(LOADED(SYSENTER_EIP), 0x32);
	assert_int_equal(LOADED(RSP), 0x2222);
	assert_int_equal(LOADED(RFLAGS), 2);
	assert_int_equal(LOADED(PENDING_DEBUG), 0);
	assert_int_equal(LOADED(RIP), 0x1111);
}

/* A 64-bit L1 has no PDPTEs, a 32-bit one none without PAE. */
static void aborts_are_as_in_the_manual(void **state)
{
	u64 in_memory[4] = {0x1001, BITS(63, 52), 0, 0x4001}, found[4];
	struct vmcs12 v = with_host;
	struct guest_mem l1;
	bool has;

	(void)state;
	make_l1_memory(&l1);
#define FIND() nested_host_find_pdptes(&v, &l1, L1_PHYS_BITS, found, &has)
#define PUT()             \
	assert_int_equal( \
	    guest_mem_write(&l1, gpa(PAGE_PDPTES + 0x60), in_memory, 32), OK)
	v.host_cr3 = PAGE_PDPTES + 0x7f;
	v.host_cr4 = CR4_PAE;
	v.entry_controls = (u32)ENTRY_IA32E_MODE_GUEST;
	assert_int_equal(FIND(), NESTED_ABORT_NONE);
	assert_false(has);
	v.exit_controls = 0;
	assert_int_equal(FIND(), NESTED_ABORT_IA32E_MODE);
	v.entry_controls = 0;
	PUT();
	assert_int_equal(FIND(), NESTED_ABORT_NONE);
	assert_true(has);
	assert_memory_equal(found, in_memory, sizeof(found));
	in_memory[3] |= BIT(1);
	PUT();
	assert_int_equal(FIND(), NESTED_ABORT_PDPTES);
	assert_false(has);
	v.host_cr4 = 0;
	assert_int_equal(FIND(), NESTED_ABORT_NONE);
	v.host_cr4 = CR4_PAE;
	v.host_cr3 = L1_RAM_BYTES;
	assert_int_equal(FIND(), NESTED_ABORT_PDPTES);
#undef FIND
#undef PUT
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(slots_are_not_seen),
	    cmocka_unit_test(slot_says_when_it_has_another),
	    cmocka_unit_test(oldest_gives_way),
	    cmocka_unit_test(linked_vmcs_is_in_memory_at_entry),
	    cmocka_unit_test(host_segments_are_as_in_the_manual),
	    cmocka_unit_test(host_registers_are_as_in_the_manual),
	    cmocka_unit_test(aborts_are_as_in_the_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
