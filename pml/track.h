/* SPDX-License-Identifier: MIT */
/*
 * Tracking the writes of one VM: which way, and the steps of a harvest.
 *
 * Machine side (arch/x86/vmx and core) and this file share the work:
 *
 *	track_start		all pages are marked; nothing is armed yet
 *	  (machine)		PML as track_wants_pml says, see below
 *	loop:
 *	  (machine)		kick vCPUs: each exits and drains its PML page
 *	  track_harvest		takes a range, splits and re-arms it
 *	  (machine)		FLUSH_OWED? INVEPT on every CPU, wait for all
 *	  ...			only now read and send the pages of the batch
 *	(machine)		stop all vCPUs: each drains its PML page; mark
 *				what the CPU writes past EPT
 *	track_harvest		until it has come to the end: the complete one;
 *				nobody runs, so the flush can wait for the entry
 *	track_stop		or the guest goes on here:
 *	  (machine)		PML as track_wants_pml says
 *	track_relax ...		in chunks: rights back, pages merged; flush and
 *				ept_free_retired after each
 *
 * "PML as track_wants_pml says": every vCPU exits, drains its PML page, sets
 * PML in its vmcs01 to that, and has answered before the next step. A vCPU that
 * is not in the guest does this before it enters.
 *
 * A write fault at any time, in any mode: track_write_fault.
 *
 * Another mode, while the guest runs and between two harvests:
 *
 *	to PML			track_switch, then PML as wanted
 *	to write protection	track_switch, track_leave_pml over all memory,
 *				flush, track_left_pml, then PML as wanted
 *
 * One thread at a time, the harvester, calls all but track_wants_pml and
 * track_write_fault, which any CPU may call at any time.
 */
#ifndef PML_TRACK_H
#define PML_TRACK_H

#include "arch/x86/ept/ept.h"
#include "arch/x86/ept/ept_fix.h"
#include "lib/err.h"
#include "mm/dirty_log.h"

enum track_mode {
	TRACK_OFF,
	TRACK_PML, /* D=0 and the CPU's log */
	TRACK_WP,  /* W=0 and exits */
};

/* dirty=pml|wp|auto on the command line */
enum track_policy {
	TRACK_POLICY_AUTO,
	TRACK_POLICY_PML,
	TRACK_POLICY_WP,
};

MUST_CHECK enum err track_policy_parse(const char *text,
				       enum track_policy *policy);

/* What the CPU has; PML needs A/D bits. */
enum track_cpu {
	TRACK_CPU_PLAIN,
	TRACK_CPU_HAS_PML,
};

/* ERR_UNSUPPORTED: PML was asked for and is not there. */
MUST_CHECK enum err track_choose(enum track_policy policy, enum track_cpu cpu,
				 enum track_mode *mode);

struct track {
	struct ept *ept;
	struct dirty_log *log;
	enum track_mode mode; /* how pages are armed from now on */
	bool wants_pml;       /* leaves with D=0 exist, or soon will */
};

void track_init(struct track *track, struct ept *ept, struct dirty_log *log);

/* Is PML to be on in the vmcs01 of this VM's vCPUs? Any CPU may ask. */
static inline bool track_wants_pml(const struct track *track)
{
	return __atomic_load_n(&track->wants_pml, __ATOMIC_ACQUIRE);
}

/*
 * All pages become dirty, none is armed. Sets tables for splitting aside:
 * ERR_NO_MEMORY, and nothing has changed. ERR_STATE if tracking already.
 */
MUST_CHECK enum err track_start(struct track *track, enum track_mode mode);

/*
 * One chunk of a harvest: takes marked pages of [from, to) until the batch is
 * full, splits large leaves there and re-arms exactly those pages. Returns
 * where it stopped. Until *flush has been carried out the contents of the
 * pages must not be read.
 */
gpa_t track_harvest(struct track *track, gpa_t from, gpa_t to,
		    struct dirty_batch *batch, enum flush *flush);

enum track_fault {
	TRACK_FAULT_FIXED, /* resume the guest */
	TRACK_FAULT_SLOW,  /* not a tracking matter */
};

/*
 * A guest write violated EPT01 at `address`. Lock-free; any CPU, any mode.
 */
static ALWAYS_INLINE enum track_fault track_write_fault(struct track *track,
							gpa_t address)
{
	switch (ept_fix_write(track->ept, address)) {
	case EPT_FIXED:
		/* Writable first, bit second: see mm/dirty_log.h. */
		dirty_log_mark(track->log, address);
		return TRACK_FAULT_FIXED;
	case EPT_FIX_STALE:
		return TRACK_FAULT_FIXED;
	case EPT_FIX_SLOW:
		return TRACK_FAULT_SLOW;
	}
	return TRACK_FAULT_SLOW;
}

/* ERR_STATE when not tracking. */
MUST_CHECK enum err track_switch(struct track *track, enum track_mode mode);

/* Pages that D=0 arms become armed by W. May be done in chunks. */
enum flush track_leave_pml(struct track *track, gpa_t base, u64 bytes);
void track_left_pml(struct track *track);

/* No more harvests. Faults are still fixed. */
void track_stop(struct track *track);

/* After track_stop, in chunks; see ept_merge and ept_free_retired. */
gpa_t track_relax(struct track *track, gpa_t base, u64 bytes,
		  enum flush *flush);

#endif
