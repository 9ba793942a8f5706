/* SPDX-License-Identifier: MIT */
/* Pages of free memory: see pages.h. */
#include "guests/lib/pages.h"
#include "guests/lib/boot.h"
#include "guests/lib/console.h"
#include "guests/lib/cpu.h"
#include "guests/lib/result.h"
#include "lib/bits.h"
#include "lib/string.h"

static struct boot_range range;
static u64 next;
static bool locked;

static void lock(void)
{
	while (__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE))
		cpu_pause();
	if (!range.bytes) {
		range = boot_free_range();
		next = range.base;
	}
}

static void unlock(void)
{
	__atomic_clear(&locked, __ATOMIC_RELEASE);
}

u64 pages_take_aligned(u64 count, u64 alignment)
{
	u64 at;

	lock();
	at = align_up(next, alignment);
	if (at + count * PAGE_BYTES > range.base + range.bytes) {
		print("this guest needs more memory: %lu pages\n", count);
		guest_exit(EXIT_USAGE);
	}
	next = at + count * PAGE_BYTES;
	unlock();
	memset((void *)at, 0, count * PAGE_BYTES);
	return at;
}

u64 pages_take(u64 count)
{
	return pages_take_aligned(count, PAGE_BYTES);
}

void pages_begin_at(u64 base)
{
	lock();
	if (base < range.base || base >= range.base + range.bytes) {
		print("this guest needs the memory at %#lx\n", base);
		guest_exit(EXIT_USAGE);
	}
	next = base;
	unlock();
}

u64 pages_left(void)
{
	u64 left;

	lock();
	left = (range.base + range.bytes - next) / PAGE_BYTES;
	unlock();
	return left;
}
