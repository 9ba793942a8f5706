/* SPDX-License-Identifier: MIT */
/* Which way writes are tracked, and the harvest: see pml/track.h. */
#include "pml/track.h"
#include "lib/log.h"
#include "lib/string.h"

enum err track_policy_parse(const char *text, enum track_policy *policy)
{
	static const char *const names[] = {
	    [TRACK_POLICY_AUTO] = "auto",
	    [TRACK_POLICY_PML] = "pml",
	    [TRACK_POLICY_WP] = "wp",
	};

	for (u32 i = 0; i < ARRAY_COUNT(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*policy = (enum track_policy)i;
			return OK;
		}
	}
	return ERR_BAD_FORMAT;
}

enum err track_choose(enum track_policy policy, enum track_cpu cpu,
		      enum track_mode *mode)
{
	if (policy == TRACK_POLICY_PML && cpu != TRACK_CPU_HAS_PML) {
		log_error("dirty=pml: this CPU has no page-modification log; "
			  "use dirty=wp or dirty=auto");
		return ERR_UNSUPPORTED;
	}
	*mode = policy != TRACK_POLICY_WP && cpu == TRACK_CPU_HAS_PML
		    ? TRACK_PML
		    : TRACK_WP;
	return OK;
}

void track_init(struct track *track, struct ept *ept, struct dirty_log *log)
{
	*track = (struct track){.ept = ept, .log = log};
}

static void set_wants_pml(struct track *track, bool wants)
{
	__atomic_store_n(&track->wants_pml, wants, __ATOMIC_RELEASE);
}

enum err track_start(struct track *track, enum track_mode mode)
{
	if (track->mode != TRACK_OFF || mode == TRACK_OFF)
		return ERR_STATE;
	if (ept_reserve_tables(track->ept) != OK)
		return ERR_NO_MEMORY;
	dirty_log_mark_all(track->log);
	track->mode = mode;
	set_wants_pml(track, mode == TRACK_PML);
	return OK;
}

gpa_t track_harvest(struct track *track, gpa_t from, gpa_t to,
		    struct dirty_batch *batch, enum flush *flush)
{
	enum ept_arm arm = track->mode == TRACK_PML ? EPT_ARM_D : EPT_ARM_W;
	gpa_t stopped;

	batch->count = 0;
	/* The order is the contract's: take, re-arm, (the caller) flush. */
	stopped = dirty_log_take(track->log, from, to, batch);
	*flush = ept_rearm(track->ept, batch, arm);
	return stopped;
}

enum err track_switch(struct track *track, enum track_mode mode)
{
	if (track->mode == TRACK_OFF || mode == TRACK_OFF)
		return ERR_STATE;
	track->mode = mode;
	/* Leaves that D=0 arms keep PML on until track_left_pml. */
	if (mode == TRACK_PML)
		set_wants_pml(track, true);
	return OK;
}

enum flush track_leave_pml(struct track *track, gpa_t base, u64 bytes)
{
	return ept_rearm_by_w(track->ept, base, bytes);
}

void track_left_pml(struct track *track)
{
	if (track->mode != TRACK_PML)
		set_wants_pml(track, false);
}

void track_stop(struct track *track)
{
	track->mode = TRACK_OFF;
	set_wants_pml(track, false);
	ept_release_tables(track->ept);
}

gpa_t track_relax(struct track *track, gpa_t base, u64 bytes, enum flush *flush)
{
	return ept_merge(track->ept, base, bytes, flush);
}
