/* SPDX-License-Identifier: MIT */
/*
 * EPT02, the shadow: EPT12 composed with EPT01, which the CPU walks for L2.
 *
 *	ngpa_t --EPT12, L1's tables--> gpa_t --EPT01, ours--> hpa_t
 *	       \______________________ EPT02 ______________/
 *
 * One shadow per VM, shared by its vCPUs. Each table of L1's that L2 uses has
 * a shadow table; entry i of one is made from entry i of the other:
 *
 *	L1's table	 shadow table
 *	[ R-X | gpa ] -> [ R-X | shadow of the table at gpa ]
 *	[ RWX | gpa ] -> [ RW- | frame of gpa ]		leaf: both grant it
 *	[ leaf, 2M  ] -> [ RWX | table of 512 leaves ]	EPT01 has 4K there
 *
 * A shadow table belongs to (address, level, A/D) of L1's and not to an EPT
 * pointer, so pointers that share tables share shadows. Rights above a leaf
 * are ANDed by the CPU, as in L1's tables.
 *
 * WHAT HOLDS
 *
 * 1. A leaf never grants more than EPT12's leaf and EPT01's both grant, nor
 *    covers more than the smaller of both.
 * 2. An EPT12 is a table that a TLB caches: what L1 changes counts at the
 *    latest after its INVEPT. A table that L1 has not written since it was
 *    last looked at costs an INVEPT nothing (see "Coherence").
 * 3. With A/D on, D=0 of L1's is W=0 here, and A=0 is no entry.
 * 4. While tracking is on, no large leaf is writable, and a 4K leaf that is
 *    writable, or dirty where D arms it, maps a page that is marked, taken, or
 *    in a window (see "Dirty tracking").
 * 5. A page of L1's that holds a watched table is not writable by any leaf.
 *
 * THE MACHINE'S SIDE
 *
 *	before a vCPU's first VMXON	all of the VM's vCPUs begin with:
 *	vCPU, each entry of L1 or L2	shadow_enter, unless it has not left
 *					and shadow_has_entered: FLUSH_OWED?
 *					then INVEPT for EPT01 and all roots
 *					(all-context does it), before the entry
 *	vCPU, when it runs no more,
 *	  and an exit that comes to
 *	  any of the calls below	shadow_leave: a CPU that has not left
 *					is waited for, and nothing is proven
 *	L1: VMLAUNCH, EPTP switch	shadow_root_switch
 *	L2 on EPT02: EPT violation	shadow_fault
 *	L1, or L2 on EPT01: a write
 *	  that track_write_fault
 *	  finds SLOW			shadow_table_written; if it WAS_WATCHED
 *					track_write_fault again
 *	L1: INVEPT, either type		shadow_invalidate
 *	EPT01 lost rights or pages	shadow_forget, after the change
 *
 *	track_start			shadow_track_start before the first
 *					harvest
 *	track_harvest			shadow_rearm with the same batch; if
 *					either owes a flush: vm_sync; then read
 *	track_stop			shadow_track_stop
 *
 * FLUSH. Who takes rights away counts shadow->generation up. A CPU remembers
 * up to where it has flushed; shadow_enter compares. So what one vCPU takes
 * away is gone for the others at their next entry, as late as L1's own INVEPT
 * there. A harvest owes all such flushes, whoever took the rights: a page may
 * still be written by a leaf that is gone (vm_sync makes all CPUs enter).
 * Tables that leave the tree are reused only after all CPUs that were in the
 * guest have flushed.
 *
 * COHERENCE. A shadow table keeps a copy of the entries that it was made from.
 *
 *	proven	  L1's page is write-protected in EPT01 (ept_watch) and equals
 *		  the copy. An INVEPT leaves it alone. L1's next write to it
 *		  exits once and makes it open.
 *	open	  L1 may be writing it. An INVEPT makes it suspended.
 *	suspended nothing leads to it. L2's next access faults, the copy is
 *		  compared, entries that differ are made anew, and it becomes
 *		  proven, or open if it cannot be or changes all the time.
 *
 * So INVEPT costs one step per table written since the last one, and nothing
 * more is done for a table that L2 does not use again. Writes by Umbra itself
 * are noticed by guest_mem (guest_mem_watch).
 *
 * DIRTY TRACKING. The CPU's log would hold L2 addresses, which are not what
 * Umbra sends. Two ways:
 *
 *	by W	A leaf's first write exits and is marked by its L1 address; PML
 *		is off while EPT02 is in force.
 *	by D	For an EPT12 with A/D on, leaves have W and no D, and PML is on:
 *		the CPU logs L2 addresses. Each vCPU translates its own before
 *		it does anything else that matters here (shadow_drain): the
 *		leaf on that way says which page of L1's it is.
 *
 * A leaf by D that goes marks its page: what another CPU has logged, or may
 * still write, by it, is accounted for. If a way to a table was cut since a CPU
 * last looked, what it has logged may stand in a leaf that no way leads to: it
 * then marks the pages of all leaves that are dirty. To make that rare an
 * INVEPT compares at once what it would suspend. (tests/model/shadow.pml,
 * tests/unit/weave_shadow.c.)
 *
 * LIMITS. Tables come from the frame allocator up to a limit per VM; beyond it
 * the one that was not faulted on for longest goes. All loops are bounded by
 * the tables that exist. One lock, taken inside, held for one fault or one
 * batch; below it only ept->lock.
 */
#ifndef SHADOW_SHADOW_H
#define SHADOW_SHADOW_H

#include "arch/x86/ept/ept.h"
#include "lib/spinlock.h"
#include "shadow/ept12.h"

#define SHADOW_CPUS    64      /* as many as Umbra runs on */
#define SHADOW_OUTSIDE (~0ULL) /* no generation: not in the guest */

struct shadow_table;

enum shadow_walks {
	/* A/D in the EPT02 pointer as in L1's. */
	SHADOW_WALKS_AS_L1_SAYS,
	/*
	 * With A/D off the CPU sets A and D of L2's own paging structures past
	 * W=0 (Bochs 2.7): A/D is on while tracking. An L1 without A/D may
	 * then see violations for walks of pages that it made read-only.
	 */
	SHADOW_WALKS_ARE_WRITES_WHILE_TRACKING,
};

struct shadow_config {
	struct guest_mem *memory;  /* L1's */
	struct ept *ept;           /* EPT01 */
	struct ept_format offered; /* what L1 may write into its tables */
	u32 table_limit;           /* 0: in proportion to L1's memory */
	u32 vcpu_count;
	u32 cpu_count; /* Umbra's; SHADOW_CPUS at most */
	enum shadow_walks walks;
};

/* For the monitor, the bench and tests; no one decides by them. */
struct shadow_counts {
	u64 faults;     /* shadow_fault calls */
	u64 fast_fixes; /* of them: only dirty tracking stood in the way */
	u64 marked;     /* an L2 writes: pages, by L1's address */
	u64 translated; /* entries of PML pages that were L2's addresses */
	u64 searched;   /* drains that had to look at all leaves */
	u64 filled;     /* leaves made, neighbours included */
	u64 tables_made;
	u64 evicted;
	u64 watch_exits; /* L1 wrote a watched table */
	u64 invalidations;
	u64 suspended;
	u64 compared;
};

struct shadow {
	struct shadow_config config;
	struct ept12 ept12;
	struct spinlock lock;
	struct shadow_table **tables; /* by number, from 1 */
	u32 table_limit, table_count; /* that exist, free ones included */
	u32 free_list, retired_list, open_list;
	u32 clock;    /* where the search for a victim goes on */
	u64 stamp;    /* of this fault: tables on its way stay */
	u32 *buckets; /* tables by the address of L1's table */
	u32 bucket_count;
	u32 *page_heads, *heads_2m, *heads_1g; /* leaves by L1 page and size */
	u64 entry_count; /* in all chains: 0 while nobody runs an L2 */
	bool tracking, by_d;
	bool logs;      /* by D, or soon */
	u64 cuts;       /* ways that were cut while tracking by D */
	u64 watch_hits; /* of guest_mem's: seen so far */
	/* 0: no table is open, being compared or hit; see
	 * shadow_invalidate_nothing(). */
	u32 unsettled;
	u64 generation;
	u64 flushed[SHADOW_CPUS]; /* each written by its CPU only */
	u64 inside[SHADOW_CPUS];  /* flushed up to; or SHADOW_OUTSIDE */
	struct shadow_counts counts;
	hpa_t lists, heads; /* frames of the arrays */
	enum frame_order lists_order, heads_order;
};

/*
 * The way of the last quick fault, down to a table of 4K leaves: nothing of it
 * has been cut while no flush has been owed since, and L1's entries on it are
 * compared at each use. See shadow/quick.c.
 */
struct shadow_path {
	struct shadow_table *t;
	u64 region;     /* 2M of L2's addresses, by number */
	u64 generation; /* of the shadow, when it was taken; 0: there is none */
	u64 rights;     /* of L1's entries above */
	const ept_entry_t *at[EPT_TOP - 1];
	u64 value[EPT_TOP - 1];
};

/*
 * The same of the last write that was tracked, which L1's entries have nothing
 * to do with: all of it has W.
 */
struct shadow_last_fix {
	struct shadow_table *t;
	u64 region, generation;
};

/* A vCPU's hold on the shadow of one EPT12. Zero holds nothing. */
struct shadow_root {
	u64 pointer; /* L1's */
	struct shadow_table *table;
	struct shadow_last_fix last_fix;
	struct shadow_path path;
};

/* ERR_NO_MEMORY has been said on the console. `shadow` must not move. */
MUST_CHECK enum err shadow_create(struct shadow *shadow,
				  const struct shadow_config *config);

/* No vCPU holds a root, and no CPU may hold anything of it any more. */
void shadow_destroy(struct shadow *shadow);

/* --- Entering and leaving the guest, on this CPU -------------------------- */

/*
 * Says that this CPU enters the guest, and up to which generation it has
 * flushed, which is what it returns; `*flush` is done before the entry. A CPU
 * that does not take it back with shadow_leave may enter again as often as it
 * likes while shadow_has_entered says so: others then take it to be in the
 * guest all the time, and wait for it.
 */
u64 shadow_enter(struct shadow *shadow, u32 cpu, enum flush *flush);

/*
 * Is this still true of what shadow_enter returned? If another CPU counts on
 * just after this has been asked, it finds what has been said long ago.
 */
static inline bool shadow_has_entered(const u64 *generation, u64 entered)
{
	return __atomic_load_n(generation, __ATOMIC_SEQ_CST) == entered;
}

/* What the TLB of this CPU holds is not used until it enters again. */
static inline void shadow_leave(struct shadow *shadow, u32 cpu)
{
	__atomic_store_n(&shadow->inside[cpu], SHADOW_OUTSIDE,
			 __ATOMIC_RELEASE);
}

/* --- Roots --------------------------------------------------------------- */

/*
 * The shadow for an EPT pointer of L1's that nested_eptp_is_valid has accepted.
 * A vCPU holds one at a time. ERR_BUSY: no table is free before other CPUs have
 * flushed; kick the VM's vCPUs and try again.
 */
MUST_CHECK enum err shadow_root_hold(struct shadow *shadow, u64 pointer,
				     struct shadow_root *root);
void shadow_root_release(struct shadow *shadow, struct shadow_root *root);

/*
 * From what `root` holds, if anything, to another pointer. ERR_BUSY, as above:
 * it holds what it held, and L2 may go on by that.
 */
MUST_CHECK enum err shadow_root_switch(struct shadow *shadow, u64 pointer,
				       struct shadow_root *root);

static inline bool shadow_is_tracking(const struct shadow *shadow)
{
	return __atomic_load_n(&shadow->tracking, __ATOMIC_ACQUIRE);
}

/* For the VMCS: changes only where tracking begins or ends. */
u64 shadow_root_pointer(const struct shadow *shadow,
			const struct shadow_root *root);

/* --- Faults -------------------------------------------------------------- */

enum shadow_outcome {
	SHADOW_RESUME,        /* L2 goes on */
	SHADOW_VIOLATION,     /* reflect with `qualification` */
	SHADOW_MISCONFIGURED, /* reflect */
	SHADOW_LOG_FULL,      /* reflect: L1's PML; log->index as it was */
	SHADOW_DEVICE,        /* L0 emulates the access at `address` */
	SHADOW_BUSY,          /* as ERR_BUSY above: kick, then resume */
};

struct shadow_result {
	enum shadow_outcome outcome;
	u64 qualification; /* NMI unblocking (bit 12) is passed through */
	gpa_t address;     /* DEVICE: with the offset in the page */
};

/*
 * L2 has violated EPT02. One call does all that the access needs: L1's A and D
 * bits, L1's page-modification log (`log` is updated; store the index in
 * vmcs12), Umbra's own log, the composition, and neighbours in L1's table.
 */
struct shadow_result shadow_fault(struct shadow *shadow,
				  const struct shadow_root *root,
				  const struct ept12_access *access,
				  struct ept12_log *log);

enum shadow_quick {
	SHADOW_QUICK_NO,     /* one of the others: nothing has changed */
	SHADOW_QUICK_RESUME, /* L2 goes on */
	SHADOW_QUICK_RESULT, /* see there */
};

/*
 * The same for most faults. Nothing is proven here, so a CPU need not have said
 * that it has left.
 */
enum shadow_quick shadow_fault_quickly(struct shadow *shadow,
				       struct shadow_root *root,
				       const struct ept12_access *access,
				       struct ept12_log *log,
				       struct shadow_result *result);

/*
 * The same for a first write since the last harvest, while tracking: by an
 * access with EPT12_WRITE and without EPT12_FETCH.
 */
bool shadow_fix_tracked(struct shadow *shadow, struct shadow_root *root,
			ngpa_t address);

/*
 * L1 enters L2 after it has handled a violation there: makes the entry now if
 * that is possible without setting A or D, and saves L2 the exit.
 */
void shadow_prefault(struct shadow *shadow, const struct shadow_root *root,
		     const struct ept12_access *access);

enum shadow_watch {
	SHADOW_NOT_WATCHED,
	SHADOW_WAS_WATCHED, /* no more: the write may go on */
};

/* A write to L1's page violated EPT01. */
enum shadow_watch shadow_table_written(struct shadow *shadow, gpa_t address);

/* L1 executed INVEPT, of either type. */
void shadow_invalidate(struct shadow *shadow);

/*
 * The same if it returns true: then there was nothing to do. Without the lock:
 * who reads entries of a table that L1 may be writing has said so before, and
 * here L1's writes are over before that is looked at. So either it is seen, or
 * the reader sees what L1 wrote. Hits are compared first, because who takes
 * note of them has said so before, too.
 */
static inline bool shadow_invalidate_nothing(struct shadow *shadow)
{
	u64 hits = __atomic_load_n(&shadow->config.memory->watch_hits,
				   __ATOMIC_ACQUIRE);

	return __atomic_load_n(&shadow->watch_hits, __ATOMIC_ACQUIRE) == hits &&
	       !__atomic_fetch_add(&shadow->unsettled, 0, __ATOMIC_SEQ_CST);
}

/*
 * Has L1 changed an entry that something was made from, and may L2 still go on
 * by the old one, because L1 has not executed INVEPT since? A look at all open
 * tables: for tests.
 */
bool shadow_is_behind(struct shadow *shadow);

/*
 * EPT01 grants less for this range than it did (unmapped, ROM, other frames):
 * no leaf maps it any more. After the change there; then flush as owed there.
 */
void shadow_forget(struct shadow *shadow, gpa_t base, u64 bytes);

/* --- Dirty tracking; the harvester only ----------------------------------- */

enum shadow_way {
	SHADOW_BY_W,
	SHADOW_BY_D, /* where L1 has A/D on; the CPU has PML, the VM uses it */
};

/* From now on leaves are made read-only, or not dirty. Arms nothing. */
void shadow_track_start(struct shadow *shadow, enum shadow_way way);

/*
 * Another way, between two harvests.
 *
 *	to D	shadow_track_prepare; then on all CPUs PML as shadow_wants_pml
 *		says, because what a CPU without PML writes by a leaf that D
 *		arms is not found; then shadow_track_switch
 *	to W	shadow_track_switch; then a flush on all CPUs, and PML as
 *		shadow_wants_pml says
 */
void shadow_track_prepare(struct shadow *shadow);
void shadow_track_switch(struct shadow *shadow, enum shadow_way way);

/* Is PML to be on while this root is in force? Any CPU may ask. */
static inline bool shadow_wants_pml(const struct shadow *shadow,
				    const struct shadow_root *root)
{
	return __atomic_load_n(&shadow->logs, __ATOMIC_ACQUIRE) &&
	       ept12_has_ad(root->pointer);
}

/*
 * What the CPU has logged while `root` was in force: `count` L2 addresses. By
 * the CPU that ran L2, before it enters again, and before it lets go of the
 * root; with 0 entries, too. `*cuts` is this vCPU's and begins as 0.
 */
void shadow_drain(struct shadow *shadow, const struct shadow_root *root,
		  const u64 *entries, u32 count, u64 *cuts);

/*
 * Re-arms exactly the pages of the batch in all leaves that map them: W goes.
 * After dirty_log_take, before the flush.
 */
enum flush shadow_rearm(struct shadow *shadow, const struct dirty_batch *batch);

void shadow_track_stop(struct shadow *shadow);

#endif
