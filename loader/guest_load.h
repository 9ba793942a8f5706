/* SPDX-License-Identifier: MIT */
/*
 * Bringing a guest's kernel and modules into its memory, in two strokes:
 *
 *	guest_load_plan		looks at all the bytes, decides what goes where
 *				and how the first vCPU starts; may fail, in
 *				words; touches nothing
 *	guest_load_commit	copies; fails only if the guest's memory is not
 *				as `map` says
 *
 * Between the two, core makes the guest's memory from `map`, zeroed.
 */
#ifndef LOADER_GUEST_LOAD_H
#define LOADER_GUEST_LOAD_H

#include "lib/err.h"
#include "loader/boot_info.h"
#include "loader/guest_image.h"
#include "loader/guest_map.h"
#include "loader/guest_plan.h"
#include "mm/guest_mem.h"

#define GUEST_PIECES_MAX      64
#define GUEST_LOAD_INFO_BYTES (40 * KIB)

/* How the first vCPU starts. All registers that are not named are 0. */
enum guest_entry_mode {
	/* 32-bit protected mode, flat 4G segments, paging off. */
	GUEST_ENTRY_PROTECTED,
	/* 64-bit mode, flat segments, page tables at cr3. */
	GUEST_ENTRY_LONG,
};

struct guest_entry {
	enum guest_entry_mode mode;
	u64 rip, rax, rbx, rsi;
	u64 cr3;          /* GUEST_ENTRY_LONG only */
	u16 cs, ss_ds_es; /* selectors */
	gpa_t gdt;        /* with those selectors; 0 bytes: none */
	u32 gdt_bytes;
};

/* Bytes for one place. What is not copied stays zero, as the guest's memory
 * is when it is new. */
struct guest_piece {
	const char *what; /* for messages: "kernel", "module" */
	gpa_t at;
	const void *from; /* in the file, or in guest_load.info */
	u64 copy_bytes;
	u64 total_bytes;
};

/* What did not fit, for the message. */
struct guest_misfit {
	const char *what;
	u64 bytes;
	u64 at; /* the address that it must have, or must not lie below */
	bool is_fixed;
};

/* About 50 KB: static storage. Points into itself and into boot modules. */
struct guest_load {
	const char *name; /* of the guest, for messages */
	struct guest_map map;
	struct guest_image image;
	struct guest_piece pieces[GUEST_PIECES_MAX];
	u32 piece_count;
	struct guest_entry entry;
	struct guest_misfit misfit; /* after ERR_NO_MEMORY */

	/* What the kernel is told: built here, copied as a piece. */
	u8 info[GUEST_LOAD_INFO_BYTES] ALIGNED(16);
	u32 info_bytes;
};

/*
 * Plans guest `plan`. Every failure has been said in the log, in one line:
 * ERR_BAD_FORMAT   the kernel is damaged, or nothing that we can start
 * ERR_UNSUPPORTED  it needs something that we do not have
 * ERR_NO_MEMORY    the guest has too little memory; the line says how much
 *                  would do
 * ERR_RANGE        it wants to lie where no guest has memory
 */
MUST_CHECK enum err guest_load_plan(struct guest_load *load,
				    const struct guest_plan *plan,
				    const struct boot_info *boot);

MUST_CHECK enum err guest_load_commit(const struct guest_load *load,
				      struct guest_mem *mem);

#endif
