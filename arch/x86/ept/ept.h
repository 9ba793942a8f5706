/* SPDX-License-Identifier: MIT */
/*
 * EPT01: a VM's guest-physical addresses mapped to frames.
 *
 * WHO MAY CHANGE WHAT, AND WHEN
 *
 *   the tree	tables are linked and unlinked (map, unmap, split, merge) under
 *		ept->lock, which these functions take themselves.
 *   A, D	the CPUs set them at any time, without telling.
 *   W		ept_fix_write sets it at any time, without the lock, and only in
 *		4K leaves that have MAY_WRITE; re-arming clears it.
 * Therefore a live entry is changed only by one locked instruction that
 * keeps what it does not mean to change.
 *
 * FLUSH. A function that takes rights away, or unlinks a table, says so:
 * FLUSH_OWED. Until every CPU that may have run this VM has executed INVEPT
 * (single-context, for this EPTP), any CPU may still act on the old entry. Who
 * gets FLUSH_OWED must see to that before it relies on the change; one place
 * in arch/x86/vmx executes it. Granting rights owes nothing: a CPU that faults
 * on an old entry drops it by faulting.
 *
 * FREEING. Tables that leave the tree are kept, contents and all, until
 * ept_free_retired, which the owner calls after that flush has reached every
 * CPU: a CPU that answers has also left any lock-free walk it was in.
 */
#ifndef ARCH_X86_EPT_EPT_H
#define ARCH_X86_EPT_EPT_H

#include "arch/x86/ept/ept_entry.h"
#include "lib/err.h"
#include "lib/spinlock.h"
#include "mm/addr.h"
#include "mm/dirty_log.h"
#include "mm/guest_mem.h"

enum flush {
	FLUSH_NONE,
	FLUSH_OWED,
};

struct ept {
	hpa_t root;
	struct ept_format format;
	struct spinlock lock;
	u64 leaf_count[EPT_TOP]; /* by level, EPT_4K..EPT_1G */
	u64 table_count;
	hpa_t spare; /* tables set aside for splitting, linked by entry 0 */
	u64 spare_count;
	bool tables_reserved; /* enough for all large leaves: map 4K only */
	u64 *retired;         /* one frame: addresses of unlinked tables */
	u32 retired_count;
};

/* An empty tree. */
MUST_CHECK enum err ept_create(struct ept *ept,
			       const struct ept_format *format);

/* No CPU may hold anything of it any more. */
void ept_destroy(struct ept *ept);

/* The value for the EPT pointer in a VMCS. */
u64 ept_pointer(const struct ept *ept);

/*
 * Maps with the largest pages that fit both addresses (with 4K pages while
 * tables are reserved). Whole pages, unarmed: who maps while dirty tracking is
 * on marks them. On any
 * error nothing that was mapped has changed: ERR_OVERLAP, ERR_ALIGN,
 * ERR_RANGE, ERR_NO_MEMORY, ERR_UNSUPPORTED (rights this CPU cannot express).
 */
MUST_CHECK enum err ept_map(struct ept *ept, gpa_t base, hpa_t frame, u64 bytes,
			    const struct ept_attributes *attributes);

/* All slots of a VM: RAM with all rights, ROM without W, write-back. */
MUST_CHECK enum err ept_map_guest(struct ept *ept, const struct guest_mem *mem);

/*
 * Large leaves that reach over an end of the range are split first, which
 * may need memory: ERR_NO_MEMORY, and nothing has changed.
 */
MUST_CHECK enum err ept_unmap(struct ept *ept, gpa_t base, u64 bytes,
			      enum flush *flush);
MUST_CHECK enum err ept_protect(struct ept *ept, gpa_t base, u64 bytes,
				u64 rights, enum flush *flush);

/* Where `address` goes and with which entry; ERR_NOT_FOUND in a hole. */
MUST_CHECK enum err ept_lookup(const struct ept *ept, gpa_t address,
			       ept_entry_t *leaf, enum ept_level *level);

/* --- Splitting and merging ----------------------------------------------- */

/* Sets enough tables aside that no later split can fail. */
MUST_CHECK enum err ept_reserve_tables(struct ept *ept);
void ept_release_tables(struct ept *ept);

/*
 * Every leaf in the range becomes 4K, with the rights and A/D bits that the
 * large leaf had. Takes set-aside tables first. Nothing to flush: old and new
 * entries say the same.
 */
MUST_CHECK enum err ept_split(struct ept *ept, gpa_t base, u64 bytes);

/*
 * The same for one page, which ept_merge then leaves as it is: where the CPU has
 * to see the page itself (SDM vol. 3, "Issues Pertaining to Page Size and TLB
 * Management"). A hole stays one.
 */
MUST_CHECK enum err ept_keep_small(struct ept *ept, gpa_t page);

/*
 * The reverse: full rights (HOST_WRITABLE and MAY_WRITE give W back), D set,
 * and tables whose 512 leaves continue each other become one leaf. Returns
 * where it stopped: base + bytes, or earlier because ept_free_retired has to
 * come first.
 */
gpa_t ept_merge(struct ept *ept, gpa_t base, u64 bytes, enum flush *flush);

/* After the flush that merging owed. */
void ept_free_retired(struct ept *ept);

/* --- Dirty tracking ------------------------------------------------------ */

/* What makes the next write to a page known. */
enum ept_arm {
	EPT_ARM_D, /* D=0: the CPU logs the write (PML) */
	EPT_ARM_W, /* W=0: the write exits */
};

/*
 * Re-arms the pages of a batch. Large leaves under them are split with tables
 * set aside before (ept_reserve_tables), so this cannot fail.
 */
enum flush ept_rearm(struct ept *ept, const struct dirty_batch *batch,
		     enum ept_arm arm);

/*
 * Changes armed leaves in the range from D=0 to W=0, for a VM that leaves PML.
 */
enum flush ept_rearm_by_w(struct ept *ept, gpa_t base, u64 bytes);

/*
 * Adds the pages of the range whose D is set to the log and clears D; for
 * CPUs with A/D bits and no PML. Large leaves count for all their pages.
 */
enum flush ept_harvest_d(struct ept *ept, gpa_t base, u64 bytes,
			 struct dirty_log *log);

/*
 * Write-tracking of one page on behalf of somebody else (shadow paging
 * watches L1's tables): W and MAY_WRITE go, so that each write exits and
 * takes the slow path. Needs a set-aside table or memory to split.
 */
MUST_CHECK enum err ept_watch(struct ept *ept, gpa_t page, enum flush *flush);

/* The next write exits once more, is fixed and marked like any first one. */
void ept_unwatch(struct ept *ept, gpa_t page);

#endif
