/* SPDX-License-Identifier: MIT */
/* Typed bytes on their way to guests: see typed.h. */
#include "core/typed.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/tsc.h"
#include "loader/guest_plan.h"

/* A UART's FIFO at 80,000 baud; ever rarer for a guest that does not read. */
#define RETRY_NS     2000000ULL
#define RETRY_NS_MAX 128000000ULL

struct typed {
	u8 bytes[TYPED_BYTES];
	u32 first, count;
	u64 retry_ns, next_tsc; /* the latter while something waits */
};

static struct typed waiting[GUESTS_MAX];

void typed_add(const struct vm *vm, const u8 *bytes, size_t count)
{
	struct typed *t = &waiting[vm->index];

	if (!t->count)
		t->retry_ns = RETRY_NS;
	for (size_t i = 0; i < count && t->count < TYPED_BYTES; i++)
		t->bytes[(t->first + t->count++) % TYPED_BYTES] = bytes[i];
}

static void offer_run(struct vm *vm, enum platform_console console,
		      struct typed *t, u32 count)
{
	u64 taken = platform_console_input(
	    &vm->platform, console, &t->bytes[t->first], count, vm_now_ns(vm));

	if (taken)
		t->retry_ns = RETRY_NS;
	else if (t->retry_ns < RETRY_NS_MAX)
		t->retry_ns *= 2;
	t->first = (u32)(t->first + taken) % TYPED_BYTES;
	t->count -= (u32)taken;
}

void typed_offer(struct vm *vm, enum platform_console console)
{
	struct typed *t = &waiting[vm->index];
	u32 until_wrap = TYPED_BYTES - t->first;

	if (vm_has_ended(vm))
		t->count = 0;
	if (!t->count)
		return;
	offer_run(vm, console, t,
		  t->count < until_wrap ? t->count : until_wrap);
	t->next_tsc = insn_rdtsc() + tsc_from_ns(t->retry_ns);
}

u64 typed_next_tsc(void)
{
	u64 next = UINT64_MAX;

	for (u32 i = 0; i < GUESTS_MAX; i++)
		if (waiting[i].count && waiting[i].next_tsc < next)
			next = waiting[i].next_tsc;
	return next;
}
