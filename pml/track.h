/* SPDX-License-Identifier: MIT */
/*
 * Tracking the writes of one VM: which way, and the steps of a harvest.
 *
 * Machine side (arch/x86/vmx and core) and this file share the work:
 *
 *	track_start		all pages are marked; nothing is armed yet
 *	(machine)		track_wants_pml()? PML on in every vmcs01, and
 *				each vCPU has answered, before a harvest
 *	loop:
 *	  (machine)		kick vCPUs: each exits, drains its PML page
 *	  track_harvest		takes a range, splits and re-arms it
 *	  (machine)		FLUSH_OWED? INVEPT on every CPU, wait for all
 *	  ...			only now read and send the pages of the batch
 *	(machine)		stop all vCPUs, drain, write class 4-6 marks
 *	track_harvest		the complete one; nothing runs, flush likewise
 *	track_stop		or the guest goes on here:
 *	track_relax ...		in chunks: rights back, pages merged
 *
 * A write fault at any time, in any mode: track_write_fault.
 * Modes change while the guest runs: see track_switch.
 */
#ifndef PML_TRACK_H
#define PML_TRACK_H

#include "arch/x86/ept/ept.h"
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
	bool pml_armed;       /* leaves with D=0 may exist: PML must be on */
};

void track_init(struct track *track, struct ept *ept, struct dirty_log *log);

/* Is PML to be on in the vmcs01 of this VM's vCPUs? */
bool track_wants_pml(const struct track *track);

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
enum track_fault track_write_fault(struct track *track, gpa_t address);

/*
 * Another mode while the guest runs. To PML: turn PML on everywhere, then
 * call this; pages armed by W stay so until they fault. To write protection:
 * call this, then track_leave_pml over all memory, flush, drain every vCPU and
 * turn PML off there, then track_left_pml. ERR_STATE when not tracking.
 */
MUST_CHECK enum err track_switch(struct track *track, enum track_mode mode);
enum flush track_leave_pml(struct track *track, gpa_t base, u64 bytes);
void track_left_pml(struct track *track);

/* No more harvests. PML may be turned off; faults are still fixed. */
void track_stop(struct track *track);

/* After track_stop, in chunks; see ept_merge and ept_free_retired. */
gpa_t track_relax(struct track *track, gpa_t base, u64 bytes,
		  enum flush *flush);

#endif
