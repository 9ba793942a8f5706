/* SPDX-License-Identifier: MIT */
/*
 * A VM's memory: slots of guest-physical addresses with frames behind them.
 *
 *	gpa	0      640K  1M              3G     4G        5G
 *		|  RAM  |.....|     RAM       |......|   RAM   |
 *
 * Holes are where the caller puts no slot. Frames come in the largest blocks
 * that fit and are zeroed here, so a guest never sees what was in them. A
 * slot lives as long as its VM and its frames never move: an address found
 * once stays good.
 *
 * THE ONE WAY TO WRITE. Umbra writes guest memory only through this file, and
 * everything here that writes also marks the dirty log, in the order that
 * mm/dirty_log.h asks for: bytes first, mark second. Pointers into guest
 * memory are handed out const, and only here are they cast
 * (tools/check_guest_writes.py looks for other ways). Pages that the CPU
 * itself writes past EPT because their host address stands in a VMCS (a
 * virtual-APIC page, a posted-interrupt descriptor) are marked with
 * guest_mem_mark by whoever loads that VMCS.
 *
 * Addresses and lengths may come straight from a guest: whatever is not
 * wholly inside slots is ERR_RANGE and nothing has been read or written.
 *
 * Reads and writes may happen on any CPU while vCPUs run. As on a memory bus,
 * only naturally aligned accesses of 1, 2, 4 and 8 bytes (the _u8.._u64
 * forms) are single accesses; longer ones may be seen half done.
 */
#ifndef MM_GUEST_MEM_H
#define MM_GUEST_MEM_H

#include "lib/err.h"
#include "mm/addr.h"
#include "mm/dirty_log.h"

#define GUEST_MEM_SLOTS 16

enum guest_slot_kind {
	GUEST_RAM,
	GUEST_ROM, /* the guest reads and runs it; its stores are refused */
};

struct guest_slot {
	gpa_t base;
	u64 bytes;
	enum guest_slot_kind kind;
	u64 *blocks; /* per page: its frame | order of the block it is in */
	enum frame_order blocks_order;
};

struct guest_mem {
	const char *name;            /* of the VM, for messages */
	u32 slot_count;              /* slots are sorted by address */
	u8 by_size[GUEST_MEM_SLOTS]; /* numbers of slots, largest first */
	struct guest_slot slots[GUEST_MEM_SLOTS];
	u64 bytes; /* of all slots */
	struct dirty_log log;
	u64 *watched; /* one bit per page; NULL: nobody watches */
	u64 watch_words;
	u64 watch_hits;
	hpa_t watch_storage;
	enum frame_order watch_order;
};

/* No slot yet; slots will lie below `limit`. `name` must live as long. */
MUST_CHECK enum err guest_mem_create(struct guest_mem *mem, gpa_t limit,
				     const char *name);
void guest_mem_destroy(struct guest_mem *mem);

/*
 * Zeroed memory at [base, base + bytes), whole pages. Before any vCPU runs.
 * ERR_ALIGN, ERR_OVERLAP, ERR_RANGE (past the limit, or no bytes),
 * ERR_NO_MEMORY (has been said on the console).
 */
MUST_CHECK enum err guest_mem_add(struct guest_mem *mem, gpa_t base, u64 bytes);

/* The slot that begins at `base` becomes read-only for its guest. */
MUST_CHECK enum err guest_mem_make_rom(struct guest_mem *mem, gpa_t base);

/* The frame behind the page of `address` (4K aligned). */
MUST_CHECK enum err guest_mem_frame(const struct guest_mem *mem, gpa_t address,
				    hpa_t *frame);

/*
 * The largest naturally aligned block (4K, 2M or 1G, in both address spaces)
 * of one slot that begins at `address`, for mapping.
 */
MUST_CHECK enum err guest_mem_block(const struct guest_mem *mem, gpa_t address,
				    hpa_t *frame, u64 *bytes);

/*
 * Bytes for reading in place, NULL unless [address, +bytes) lies in one
 * page of a slot. Good as long as the VM; the guest may change the bytes at
 * any time, so read each of them once.
 */
const void *guest_mem_ptr(const struct guest_mem *mem, gpa_t address,
			  u64 bytes);

MUST_CHECK enum err guest_mem_read(const struct guest_mem *mem, gpa_t address,
				   void *to, u64 bytes);

/* Writes also need the slot to be RAM, else ERR_STATE. */
MUST_CHECK enum err guest_mem_write(struct guest_mem *mem, gpa_t address,
				    const void *from, u64 bytes);
MUST_CHECK enum err guest_mem_zero(struct guest_mem *mem, gpa_t address,
				   u64 bytes);

/* For the loader: as guest_mem_write, and into ROM too. */
MUST_CHECK enum err guest_mem_load(struct guest_mem *mem, gpa_t address,
				   const void *from, u64 bytes);

/* Single accesses; `address` naturally aligned, else ERR_ALIGN. */
MUST_CHECK enum err guest_mem_read_u8(const struct guest_mem *mem,
				      gpa_t address, u8 *value);
MUST_CHECK enum err guest_mem_read_u16(const struct guest_mem *mem,
				       gpa_t address, u16 *value);
MUST_CHECK enum err guest_mem_read_u32(const struct guest_mem *mem,
				       gpa_t address, u32 *value);
MUST_CHECK enum err guest_mem_read_u64(const struct guest_mem *mem,
				       gpa_t address, u64 *value);
MUST_CHECK enum err guest_mem_write_u8(struct guest_mem *mem, gpa_t address,
				       u8 value);
MUST_CHECK enum err guest_mem_write_u16(struct guest_mem *mem, gpa_t address,
					u16 value);
MUST_CHECK enum err guest_mem_write_u32(struct guest_mem *mem, gpa_t address,
					u32 value);
MUST_CHECK enum err guest_mem_write_u64(struct guest_mem *mem, gpa_t address,
					u64 value);

/*
 * Atomic compare and swap, as the CPU updates a page-table entry. ERR_BUSY:
 * memory held something else, which is now in *expected; nothing was written.
 */
MUST_CHECK enum err guest_mem_swap_u32(struct guest_mem *mem, gpa_t address,
				       u32 *expected, u32 value);
MUST_CHECK enum err guest_mem_swap_u64(struct guest_mem *mem, gpa_t address,
				       u64 *expected, u64 value);

/*
 * A u64 of RAM that was found before: `at` is guest_mem_ptr() of its address.
 * Slots live as long as their VM, so it stays there.
 */
struct guest_mem_spot {
	gpa_t address;
	const u64 *at;
};
bool guest_mem_is_ram(const struct guest_mem *mem, gpa_t address);
void guest_mem_write_spot(struct guest_mem *mem, struct guest_mem_spot spot,
			  u64 value);

/*
 * The CPU may have written [address, +bytes) past EPT. Called after such a
 * write: at the latest when the vCPU that did it has stopped.
 */
void guest_mem_mark(struct guest_mem *mem, gpa_t address, u64 bytes);

/* --- Watching ------------------------------------------------------------ */

/*
 * For one who keeps a copy of pages and must know when Umbra itself writes them
 * (the guest's own writes are found by EPT). A write through this file to a
 * watched page ends the watch and counts a hit:
 *
 *	watcher: (1) watches; (2) reads the page
 *	writer:	 (1) writes; (2) looks whether it is watched
 *
 * so what the watcher has not read is a hit. One watcher per VM.
 */

/* Room for it, for all pages. Before any vCPU runs; ERR_NO_MEMORY. */
MUST_CHECK enum err guest_mem_watch_create(struct guest_mem *mem);

/* Returns whether it was watched already. */
bool guest_mem_watch(struct guest_mem *mem, gpa_t page);
void guest_mem_unwatch(struct guest_mem *mem, gpa_t page);
bool guest_mem_is_watched(const struct guest_mem *mem, gpa_t page);

/* Hits until now. */
u64 guest_mem_watch_hits(const struct guest_mem *mem);

/* guest_mem_swap_u64 by the watcher itself: no hit. */
MUST_CHECK enum err guest_mem_swap_unseen_u64(struct guest_mem *mem,
					      gpa_t address, u64 *expected,
					      u64 value);
MUST_CHECK enum err guest_mem_swap_unseen_spot(struct guest_mem *mem,
					       struct guest_mem_spot spot,
					       u64 expected, u64 value);

#endif
