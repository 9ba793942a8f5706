/* SPDX-License-Identifier: MIT */
/*
 * The parts of guests/l1diff.c: from a seed to an L2, and from its exits to a
 * number. All of it depends on the seed alone, and on no address that a loader
 * chooses, so that two machines that do the same print the same.
 */
#ifndef GUESTS_DIFF_DIFF_H
#define GUESTS_DIFF_DIFF_H

#include "guests/lib/ept12.h"
#include "guests/lib/guest.h"
#include "guests/lib/l2.h"
#include "guests/lib/pages.h"
#include "lib/x86.h"

/* --- Numbers from a seed -------------------------------------------------- */

struct diff_random {
	u64 state;
};

void diff_random_begin(struct diff_random *r, u64 seed);
u64 diff_random(struct diff_random *r);
u32 diff_below(struct diff_random *r, u32 count); /* 0 up to count - 1 */
bool diff_chance(struct diff_random *r, u32 percent);
u64 diff_some_bits(struct diff_random *r, u64 of); /* each by half */

/* --- L2's world ----------------------------------------------------------- */

/*
 * 64 KiB that hold all that L2 can reach: EPT, or L2's own page tables, map
 * nothing else. Offsets from DIFF_WORLD.
 */
#define DIFF_WORLD         0x2000000ull
#define DIFF_CODE          0x0000u
#define DIFF_STUBS         0x1000u /* per vector: VMCALL */
#define DIFF_STUB_BYTES    8u
#define DIFF_GDT           0x2000u
#define DIFF_TSS           0x2400u
#define DIFF_IDT           0x3000u
#define DIFF_PML4          0x4000u
#define DIFF_PDPT          0x5000u
#define DIFF_DIRECTORY     0x6000u
#define DIFF_PAE_POINTERS  0x7000u
#define DIFF_STACK_TOP     0x9000u
#define DIFF_SCRATCH       0xa000u
#define DIFF_SCRATCH_PAGES 6u
#define DIFF_WORLD_BYTES   0x10000u

enum diff_mode {
	DIFF_LONG,
	DIFF_PAE,
	DIFF_UNPAGED,
	DIFF_REAL,
	DIFF_MODES,
	DIFF_COMPATIBILITY = DIFF_MODES, /* these only from DIFF_WIDE on */
	DIFF_USER,                       /* 64-bit code at CPL 3 */
	DIFF_V86,
	DIFF_WIDE_MODES,
};

/* What a seed stands for. */
struct diff_case {
	u64 seed;
	struct diff_random random;
	enum diff_mode mode;
	struct l2_controls controls;
	struct l2 l2;
	struct ept12 ept;
	u64 exits;
	u32 oddities;
	bool has_ended;
	u64 digest;
	bool is_shown; /* every value is printed */
};

/*
 * Seeds from here on go further than the others, which are what they were:
 * guests/diff/wide.c.
 */
#define DIFF_WIDE 100000u

static inline bool diff_is_wide(const struct diff_case *c)
{
	return c->seed >= DIFF_WIDE;
}

static inline bool diff_is_long(const struct diff_case *c)
{
	return c->mode == DIFF_LONG || c->mode == DIFF_COMPATIBILITY ||
	       c->mode == DIFF_USER;
}

static inline bool diff_is_16_bit(const struct diff_case *c)
{
	return c->mode == DIFF_REAL || c->mode == DIFF_V86;
}

static inline bool diff_uses_pae(const struct diff_case *c)
{
	return c->mode == DIFF_PAE || c->mode == DIFF_V86;
}

/* Once; then everything but the VMCS for one case. */
void diff_world_begin(void);
void diff_world_make(struct diff_case *c);

/* The leaf of one of the scratch pages. */
volatile u64 *diff_scratch_leaf(struct diff_case *c, u32 page);

/* L2's address of an offset, as its registers hold it. */
u64 diff_address(const struct diff_case *c, u32 offset);

/* --- The VMCS and the program --------------------------------------------- */

void diff_choose_controls(struct diff_case *c);
void diff_write_vmcs(struct diff_case *c);
void diff_disturb(struct diff_case *c); /* some fields get odd values */
void diff_write_program(struct diff_case *c);
void diff_widen(struct diff_case *c);

/* A field with an odd value: one of these bits is turned over. */
struct diff_oddity {
	u32 field;
	u64 bits;
};

void diff_turn_over(struct diff_case *c, const struct diff_oddity *list,
		    u32 count);

/* --- What came out -------------------------------------------------------- */

void diff_note(struct diff_case *c, const char *name, u64 value);
void diff_note_exit(struct diff_case *c, u32 reason);
void diff_show_start(const struct diff_case *c); /* counts for nothing */
void diff_note_end(struct diff_case *c);
void diff_note_areas(struct diff_case *c);

#endif
