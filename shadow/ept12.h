/* SPDX-License-Identifier: MIT */
/*
 * EPT12: the tables that L1 wrote for its L2, walked as a CPU would walk them.
 *
 *	ngpa_t --EPT12 (in L1's memory)--> gpa_t
 *
 * Each entry is read once and judged by the format that L1 was offered. What
 * lies outside L1's memory reads as all ones, as on a bus, and so is an EPT
 * misconfiguration. A misconfigured entry on the way comes before missing
 * rights, and rights are those of all entries together.
 * (SDM vol. 3, "EPT Misconfigurations", "EPT Violations" and
 * "Accessed and Dirty Flags for EPT".)
 *
 *	ept12_begin	where the walk starts
 *	ept12_walk	to its end; changes nothing
 *	ept12_set_flags	A and D as the access asks for them, and L1's PML
 *
 * With A/D on (bit 6 of the EPT pointer) accesses to L2's own paging
 * structures are writes.
 *
 * What L1 changes meanwhile may be seen or not, as in a CPU; nothing that it
 * writes can make a walk go wrong or last.
 */
#ifndef SHADOW_EPT12_H
#define SHADOW_EPT12_H

#include "arch/x86/ept/ept_entry.h"
#include "mm/guest_mem.h"

/*
 * SDM vol. 3, "Exit Qualification for EPT Violations". Accesses have the bits
 * of the rights that they need.
 */
#define EPT12_READ           EPT_R
#define EPT12_WRITE          EPT_W
#define EPT12_FETCH          EPT_X
#define EPT12_ACCESS         EPT_RWX
#define EPT12_RIGHTS         BITS(5, 3) /* of the translation: R, W, X */
#define EPT12_LINEAR_VALID   BIT(7)
#define EPT12_TRANSLATED     BIT(8) /* 0: a paging structure of L2's own */
#define EPT12_NMI_UNBLOCKING BIT(12)

/* SDM vol. 3, "Extended-Page-Table Pointer (EPTP)". */
#define EPT12_POINTER_TABLE  BITS(51, 12)
#define EPT12_POINTER_AD     BIT(6)

#define EPT12_SPAN           BIT(48) /* what four levels reach */

/* Whose tables, and what may stand in them. */
struct ept12 {
	struct guest_mem *memory; /* L1's */
	struct ept_format offered;
};

/* An access of L2's, as the VM exit tells it. */
struct ept12_access {
	ngpa_t address;
	u64 qualification; /* its bits 0-2, 7, 8 and 12 count */
};

enum ept12_outcome {
	EPT12_MAPPED,
	EPT12_VIOLATION,     /* to L1, with `qualification` */
	EPT12_MISCONFIGURED, /* to L1 */
	EPT12_LOG_FULL,      /* to L1: its PML page has no room */
	EPT12_CHANGING,      /* other CPUs keep changing the entries: again */
};

struct ept12_walk {
	enum ept12_outcome outcome;
	u64 access;        /* of EPT12_ACCESS: what it needs, A/D considered */
	u64 qualification; /* of the violation that it would be */
	u64 rights;        /* of all entries so far */
	u64 pointer;
	ngpa_t from;
	gpa_t to;             /* MAPPED: the address that `from` means */
	enum ept_level level; /* of the entry that the walk stands at */
	/* By level, from the top down to `level`. */
	gpa_t tables[EPT_TOP + 1];
	ept_entry_t entries[EPT_TOP + 1];
};

/* L1's page-modification log: the fields of vmcs12. */
struct ept12_log {
	bool on; /* of use only with A/D on */
	gpa_t page;
	u16 index;
	/* The page in place, where it is RAM; NULL: it is looked for. */
	const u64 *entries;
};

/* Stands at the top entry, which has not been read. */
void ept12_begin(struct ept12_walk *walk, u64 pointer,
		 const struct ept12_access *access);

/*
 * From where the walk stands to its end: MAPPED, VIOLATION or MISCONFIGURED.
 * Only reads.
 */
void ept12_walk(const struct ept12 *ept12, struct ept12_walk *walk);

/* The same for who has read the entry where the walk stands. */
void ept12_walk_from(const struct ept12 *ept12, struct ept12_walk *walk,
		     ept_entry_t entry);

/*
 * The access of a MAPPED walk happens: sets A in its entries and, if it is a
 * write, D in the leaf and the page's address in L1's log. With A/D off does
 * nothing. `walk` then holds the entries as they are. MAPPED, LOG_FULL (no D
 * has been set, the access does not happen) or CHANGING.
 */
void ept12_set_flags(const struct ept12 *ept12, struct ept12_walk *walk,
		     struct ept12_log *log);

/* Are all flags set that it would set? */
bool ept12_has_flags(const struct ept12_walk *walk);

/* SDM vol. 3, "Page-Modification Logging". */
static inline bool ept12_log_is_full(const struct ept12_log *log)
{
	return log->index >= EPT_ENTRIES;
}
/* D has been set, and the log was not full. */
static inline void ept12_log_write(const struct ept12 *ept12, ngpa_t from,
				   struct ept12_log *log)
{
	gpa_t at = gpa_add(log->page, log->index * sizeof(u64));
	u64 entry = align_down(ngpa_raw(from), PAGE_4K);

	/* Where there is no RAM nothing is written, as on a bus. */
	if (likely(log->entries))
		guest_mem_write_spot(
		    ept12->memory,
		    (struct guest_mem_spot){at, &log->entries[log->index]},
		    entry);
	else
		(void)!guest_mem_write_u64(ept12->memory, at, entry);
	log->index--;
}

/*
 * Both together, for accesses that Umbra makes on L2's behalf (instructions it
 * decodes, operands, devices). `log` may be NULL.
 */
void ept12_translate(const struct ept12 *ept12, u64 pointer,
		     const struct ept12_access *access, struct ept12_log *log,
		     struct ept12_walk *walk);

/* Four levels do not translate it: a violation. */
static inline bool ept12_is_beyond(ngpa_t address)
{
	return ngpa_raw(address) >= EPT12_SPAN;
}

static inline bool ept12_has_ad(u64 pointer)
{
	return (pointer & EPT12_POINTER_AD) != 0;
}

/* What an entry of L1's names, a page or a table, is an address of L1's. */
static inline gpa_t ept12_address(ept_entry_t entry)
{
	return gpa(entry.raw & EPT_ADDRESS);
}

/* The entry of a table in L1's memory; all ones where there is none. */
ept_entry_t ept12_read(const struct guest_mem *memory, gpa_t table, u32 index);

#endif
