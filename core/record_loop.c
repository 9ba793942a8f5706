/* SPDX-License-Identifier: MIT */
/* Saving a guest, making it anew, saving it again: core/record_loop.h. */
#include "core/record_loop.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/vmx/nested_vcpu.h"
#include "core/sched.h"
#include "core/settings.h"
#include "core/vm_make.h"
#include "core/vm_record.h"
#include "lib/fmt.h"
#include "lib/log.h"
#include "mm/frame_alloc.h"
#include "mm/phys.h"

#define WAIT_NS_MAX 20000000

static struct record_loop {
	struct vm *vm; /* NULL: nothing to do */
	u64 rounds_left, rounds_done;
	u64 in_vmx, in_l2; /* of them; those in L2 were not possible */
	u64 random;
	u64 next_tsc;
	u32 room;
	hpa_t block; /* two records */
	u32 bytes;   /* of the last one */
} loop;

/* Xorshift: the moments need no better. */
static void wait_a_while(void)
{
	loop.random ^= loop.random << 13;
	loop.random ^= loop.random >> 7;
	loop.random ^= loop.random << 17;
	loop.next_tsc = insn_rdtsc() + tsc_from_ns(loop.random % WAIT_NS_MAX);
}

enum err record_loop_start(struct vm *vm, const struct guest_plan *plan)
{
	u64 rounds = 0, seed = 1;
	enum err err = setting_number(plan, "record.loop", &rounds);

	if (err == OK)
		err = setting_number(plan, "record.seed", &seed);
	if (err != OK || !rounds)
		return err;
	if (loop.vm)
		return ERR_BUSY;
	loop.room = vm_record_room(vm->vcpu_count);
	err = frame_alloc_zeroed(frame_order_for(2UL * loop.room),
				 "two state records", &loop.block);
	if (err != OK)
		return err;
	loop.vm = vm;
	loop.rounds_left = rounds;
	loop.random = seed * 0x9e3779b97f4a7c15UL + 1;
	wait_a_while();
	return OK;
}

static void finish(void)
{
	log_info("record: %lu rounds, %u bytes each: identical",
		 loop.rounds_done, loop.bytes);
	if (loop.in_vmx || loop.in_l2)
		log_info("record: %lu rounds in VMX operation, %lu put off "
			 "because an L2 ran",
			 loop.in_vmx, loop.in_l2);
	frame_free(loop.block, frame_order_for(2UL * loop.room));
	loop.vm = NULL;
}

void record_loop_vm_ended(const struct vm *vm)
{
	if (vm == loop.vm)
		finish();
}

/* No vCPU of it will run again. */
static COLD void give_up(const char *what, const char *why)
{
	struct vm *vm = loop.vm;

	log_error("record: round %lu: %s%s", loop.rounds_done, what, why);
	vm_end(vm, VM_END_FAILED, 0);
	__atomic_store_n(&vm->live_vcpus, 0, __ATOMIC_SEQ_CST);
	loop.vm = NULL;
}

static u32 first_difference(const u8 *a, const u8 *b, u32 bytes)
{
	u32 i = 0;

	while (i < bytes && a[i] == b[i])
		i++;
	return i;
}

static bool is_made_anew(const u8 *record, u32 bytes)
{
	char why[WIRE_TEXT_BYTES];

	if (vm_power_on_empty(loop.vm, loop.vm->vcpu_count) != OK) {
		give_up("no memory for new vCPUs", "");
		return false;
	}
	if (vm_record_restore(loop.vm, record, bytes, why, sizeof(why)) == OK)
		return true;
	give_up("it is refused: ", why);
	return false;
}

static void go_round(void)
{
	struct vm *vm = loop.vm;
	u8 *first = phys_ptr(loop.block), *second = first + loop.room;
	u32 bytes, again, at;
	char where[64];

	if (vm_record_is_possible(vm) != OK) {
		loop.in_l2++;
		return; /* another time */
	}
	loop.in_vmx += nested_vcpu_in_vmx(vm->vcpus[0]);
	bytes = vm_record_save(vm, vm_record_moment(vm), first, loop.room);
	sched_remove(vm);
	if (!is_made_anew(first, bytes))
		return;
	again = vm_record_save(vm, vm->stopped_tsc, second, loop.room);
	at = first_difference(first, second, bytes);
	if (again != bytes || at != bytes) {
		fmt(where, sizeof(where), "%u, at byte %u of %u", again, at,
		    bytes);
		give_up("saved again it is another one: ", where);
		return;
	}
	loop.bytes = bytes;
	vm_record_start_clock(vm);
	for (u32 i = 0; i < vm->vcpu_count; i++)
		sched_add(vm->vcpus[i]);
}

void record_loop_step(void)
{
	struct vm *vm = loop.vm;

	if (likely(!vm) || insn_rdtsc() < loop.next_tsc || vm_has_ended(vm))
		return;
	vm_pause(vm);
	if (!vm_has_ended(vm)) {
		sched_unload(vm);
		go_round();
	}
	vm_resume(vm);
	if (!loop.vm)
		return;
	loop.rounds_done++;
	wait_a_while();
	if (!--loop.rounds_left)
		finish();
}

u64 record_loop_next_tsc(void)
{
	return loop.vm && !vm_has_ended(loop.vm) ? loop.next_tsc : UINT64_MAX;
}
