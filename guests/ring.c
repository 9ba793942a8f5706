/* SPDX-License-Identifier: MIT */
/*
 * The one-edge guest: it increments one byte per page, round and round.
 *
 *	page      0   1   2   3   4   5   6
 *	byte      8   8   8   7   7   7   7
 *	                    ^ the edge: the next page to be written
 *
 * Whatever copies this memory while the guest runs must in the end have
 * exactly one edge in it, or none between two laps: a page that was lost, or
 * came from another moment, makes a second edge. The guest itself looks at
 * every byte before it writes, and at all of them after each lap.
 *
 * Several CPUs share the memory, each with a ring of its own. While it waits
 * for its next lap a CPU also looks at its neighbour's ring, which is being
 * written: going from the last page to the first, against the writer, it must
 * never see a byte that is older than the one before. (Bytes are compared
 * modulo 256: a look in which it stood still for 127 laps proves nothing.)
 *
 *	mb=N     how much memory (default 16)
 *	laps=N   when to end (default 10); 0: never
 *	mark=N   says "RING lap L" every so many laps (default 1)
 *	clock=1  says then what the TSC says, too: "RING lap L at T us"
 *	step=N   how many PAUSEs between two pages (default 0)
 *	cpus=N   how many CPUs take part
 *	look=1   the second CPU writes nothing: it looks at the first one's ring,
 *	         and says "RING look L at T us" as often
 *	noise=1  fills the rest of each page with what cannot be compressed
 *	reset=N  asks for a reset at its end, so that it may begin anew, so often
 *	damage=L puts one page back to its last value in lap L, which the guest
 *	         must then notice
 *
 * The first line tells observers where to look:
 *	RING base=0x.. pages=N cpus=N offset=0
 * CPU c has pages c*N/cpus up to (c+1)*N/cpus. The last line before the result,
 *	RING ended after T us
 * tells what the TSC, which is 0 when a guest of Umbra is made, says then.
 */
#include "guests/lib/guest.h"

#define PAGE          4096
#define RESET_CONTROL 0xcf9
#define RESET_FULL    0x06

struct ring {
	volatile u8 *base;
	u64 page_count;
};

static struct ring rings[CPUS_MAX];
static volatile u64 laps[CPUS_MAX]; /* that each has begun */
static u32 ring_count = 1;
static u64 lap_count, mark_every, says_time, pauses, damaged_lap, only_looks;
static u32 is_over; /* the first CPU has made its laps */
static u32 failed;  /* any CPU has found something wrong */

static bool has_failed(void)
{
	return __atomic_load_n(&failed, __ATOMIC_RELAXED);
}

static void fail(const struct ring *ring, u64 page, u8 found, u8 expected,
		 const char *when)
{
	if (__atomic_exchange_n(&failed, 1, __ATOMIC_RELAXED))
		return;
	check(false, "one_edge", "page %lu at %p has %u instead of %u, %s",
	      page, (const void *)(u64)&ring->base[page * PAGE], found,
	      expected, when);
}

static u8 byte_of(const struct ring *ring, u64 page)
{
	return ring->base[page * PAGE];
}

/* One lap: every byte goes from `old` to the next number. */
static void write_lap(const struct ring *ring, u8 old)
{
	for (u64 page = 0; page < ring->page_count; page++) {
		if (byte_of(ring, page) != old) {
			fail(ring, page, byte_of(ring, page), old,
			     "before it was written");
			return;
		}
		ring->base[page * PAGE] = (u8)(old + 1);
		for (u64 i = 0; i < pauses; i++)
			cpu_pause();
	}
}

/* Nobody writes to this ring now: all bytes are the same. */
static void check_at_rest(const struct ring *ring, u8 expected)
{
	for (u64 page = 0; page < ring->page_count; page++) {
		if (byte_of(ring, page) != expected) {
			fail(ring, page, byte_of(ring, page), expected,
			     "after the lap");
			return;
		}
	}
}

/* Its owner writes from the first page to the last; numbers wrap at 256. */
static void check_in_motion(const struct ring *ring)
{
	const volatile u64 *lap = &laps[ring - rings];
	u64 first_lap = *lap;
	u8 newest = byte_of(ring, ring->page_count - 1);

	for (u64 page = ring->page_count; page-- > 0;) {
		u8 found = byte_of(ring, page);

		if (*lap - first_lap >= 127)
			return;
		if ((u8)(found - newest) >= 128) {
			fail(ring, page, found, newest,
			     "while its neighbour looked");
			return;
		}
		newest = found;
	}
}

static void say_mark(const char *what, u64 lap)
{
	if (says_time)
		print("RING %s %lu at %lu us\n", what, lap,
		      time_tsc_to_us(rdtsc()));
	else
		print("RING %s %lu\n", what, lap);
}

static void look(void)
{
	for (u64 looks = 1; !has_failed(); looks++) {
		check_in_motion(&rings[0]);
		if (mark_every && looks % mark_every == 0)
			say_mark("look", looks);
		if (__atomic_load_n(&is_over, __ATOMIC_RELAXED))
			return;
	}
}

static void run(u32 index)
{
	const struct ring *ring = &rings[index];
	const struct ring *neighbour = &rings[(index + 1) % ring_count];

	if (index >= ring_count)
		return;
	if (only_looks && index == 1) {
		look();
		return;
	}
	for (u64 lap = 0; lap != lap_count || lap_count == 0; lap++) {
		if (lap && lap + 1 == damaged_lap)
			ring->base[ring->page_count / 2 * PAGE]--;
		laps[index] = lap;
		write_lap(ring, (u8)lap);
		if (!has_failed())
			check_at_rest(ring, (u8)(lap + 1));
		if (!has_failed() && neighbour != ring)
			check_in_motion(neighbour);
		if (has_failed())
			return;
		if (index == 0 && mark_every && (lap + 1) % mark_every == 0)
			say_mark("lap", lap + 1);
	}
}

/* Everything but the bytes that count; xorshift64. */
static void make_noise(u8 *base, u64 page_count)
{
	u64 noise = 0x9e3779b97f4a7c15UL;

	for (u64 i = 1; i < page_count * (PAGE / sizeof(u64)); i++) {
		noise ^= noise << 13;
		noise ^= noise >> 7;
		noise ^= noise << 17;
		if (i % (PAGE / sizeof(u64)) != 0)
			memcpy(base + i * sizeof(u64), &noise, sizeof(noise));
	}
}

static bool share_memory(void)
{
	struct boot_range range = boot_free_range();
	u64 pages = boot_number("mb", 16) * MIB / PAGE;

	if (pages < ring_count || pages * PAGE > range.bytes) {
		print("ring: mb=%lu does not fit into the %lu KiB that are "
		      "free, or is nothing\n",
		      pages * PAGE >> 20, range.bytes >> 10);
		return false;
	}
	memset((void *)range.base, 0, pages * PAGE);
	if (boot_number("noise", 0))
		make_noise((u8 *)range.base, pages);
	for (u32 i = 0; i < ring_count; i++) {
		u64 first = i * pages / ring_count;
		u64 end = (i + 1) * pages / ring_count;

		rings[i].base = (volatile u8 *)(range.base + first * PAGE);
		rings[i].page_count = end - first;
	}
	print("RING base=%#lx pages=%lu cpus=%u offset=0\n", range.base, pages,
	      ring_count);
	return true;
}

/*
 * The BIOS data area's bytes for programs: memory outlives a reset. The
 * compiler is not to know that there is no object.
 */
static volatile u32 *resets_so_far(void)
{
	u64 address = 0x4f0;

	__asm__("" : "+r"(address));
	return (volatile u32 *)address;
}

static void reset(void)
{
	++*resets_so_far();
	print("RING resets\n");
	out8(RESET_CONTROL, RESET_FULL);
	for (;;)
		cpu_pause();
}

u8 guest_main(void)
{
	/* Its TSC runs since it was made, also while others were. */
	u64 begun = rdtsc();

	ring_count = smp_expected();
	lap_count = boot_number("laps", 10);
	mark_every = boot_number("mark", 1);
	says_time = boot_number("clock", 0);
	pauses = boot_number("step", 0);
	damaged_lap = boot_number("damage", 0);
	only_looks = boot_number("look", 0);
	if (!share_memory())
		return EXIT_USAGE;
	if (ring_count > 1) {
		u32 running = smp_start(run, 1000000);

		check(running == ring_count, "all_cpus_answer", "%u of %u",
		      running, ring_count);
	}
	run(0);
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	while (!smp_all_done())
		cpu_pause();
	print("RING ended after %lu us\n", time_tsc_to_us(rdtsc() - begun));
	check(!has_failed(), "ring", "see above");
	if (boot_number("reset", 0) > *resets_so_far())
		reset();
	return result_print();
}
