/* SPDX-License-Identifier: MIT */
/*
 * The dirty-log protocol of mm/dirty_log.h and pml/track.h, for spin.
 *
 * Two vCPUs, Umbra's own writer and the harvester share two pages, which are
 * one word of the log. vCPUs have a TLB that keeps stale translations until
 * they flush, and a PML page of two slots. They look at requests only between
 * two instructions.
 *
 * The contents of a page are one bit: does it differ from what was last sent?
 * A write sets it, reading the page in order to send it clears it (when the
 * reading begins, so a write during it counts as not sent). When the guest has
 * been stopped and the last harvest is sent, no page may differ: no write was
 * lost. PROGRESS: when nobody writes any more, two harvests leave the log
 * empty: no page is sent for ever.
 *
 * MODE_PML, MODE_WP	how pages are armed; with both the harvester switches
 * WRITER		Umbra writes for the guest, too
 * CPUS=1		one vCPU (default two; the second writes one page only)
 * DRAIN_ANY_TIME	vCPUs also drain when nobody asked
 * GIVE_BACK		a batch may be given back instead of sent
 * BOUNDED		the writer writes once, two harvests before the last one
 *
 * All together would be too many states, so each of these is searched in
 * full by itself; tests/model/run.py reads the lists.
 *
 * holds write_protection	MODE_WP WRITER
 * holds pml			MODE_PML DRAIN_ANY_TIME
 * holds pml_and_writer		MODE_PML WRITER BOUNDED
 * holds switching		MODE_PML MODE_WP DRAIN_ANY_TIME
 * holds given_back		MODE_PML GIVE_BACK WRITER CPUS=1
 * holds wp_progress		MODE_WP PROGRESS
 * holds pml_progress		MODE_PML DRAIN_ANY_TIME PROGRESS
 *
 * Each BREAK_ makes one order wrong, and spin must find the lost page:
 *
 * fails bit_before_w		MODE_WP WRITER BREAK_BIT_BEFORE_W
 * fails wp_rearm_before_take	MODE_WP WRITER BREAK_REARM_BEFORE_TAKE
 * fails wp_no_flush		MODE_WP WRITER BREAK_NO_FLUSH
 * fails wp_flush_before_rearm	MODE_WP WRITER BREAK_FLUSH_BEFORE_REARM
 * fails wp_read_before_flush	MODE_WP WRITER BREAK_READ_BEFORE_FLUSH
 * fails writer_unmarked	MODE_WP WRITER BREAK_WRITER_UNMARKED
 * fails writer_marks_first	MODE_WP WRITER BREAK_WRITER_MARKS_FIRST
 * fails last_while_running	MODE_WP WRITER BREAK_LAST_WHILE_RUNNING
 * fails nonatomic_take		MODE_WP WRITER BREAK_NONATOMIC_TAKE
 * fails summary_late		MODE_WP WRITER BREAK_SUMMARY_LATE
 * fails summary_first		MODE_WP WRITER BREAK_SUMMARY_FIRST
 * fails pml_rearm_before_take	MODE_PML DRAIN_ANY_TIME BREAK_REARM_BEFORE_TAKE
 * fails pml_no_flush		MODE_PML BREAK_NO_FLUSH
 * fails pml_flush_before_rearm	MODE_PML BREAK_FLUSH_BEFORE_REARM
 * fails pml_read_before_flush	MODE_PML BREAK_READ_BEFORE_FLUSH
 * fails last_drain_late	MODE_PML BREAK_LAST_DRAIN_LATE
 * fails log_full_ignored	MODE_PML WRITER CPUS=1 BREAK_LOG_FULL_IGNORED
 * fails drain_keeps_index	MODE_PML PROGRESS BREAK_DRAIN_KEEPS_INDEX
 * fails pml_on_late		MODE_PML BREAK_PML_ON_LATE
 * fails pml_off_early		MODE_PML MODE_WP BREAK_PML_OFF_EARLY
 * fails not_given_back		MODE_PML GIVE_BACK CPUS=1 BREAK_NOT_GIVEN_BACK
 */
#ifdef BOUNDED
#define LIMITED	1
#else
#define LIMITED	0
#endif
#define PAGES	2
#ifndef CPUS
#define CPUS	2
#endif
#define SLOTS	2

/* Leaves of EPT01: writable, dirty. All pages begin marked and not armed. */
bool leaf_w[PAGES] = true;
bool leaf_d[PAGES] = true;

/* The log: a bit per page, and the summary's bit for their word. */
bool marked[PAGES] = true;
bool summary = true;

bool differs[PAGES] = true;

typedef row { bool page[PAGES] };
row tlb[2];

typedef slots { bit slot[SLOTS] };
slots pml[2];
byte pml_free[2] = SLOTS;	/* slots left: the index */
bool pml_on[2];

/* Always two: with one vCPU the other is out of the guest for ever. */
bool ask_drain[2], ask_flush[2], ask_pml[2];
bool in_guest[2];
bool stop, quiet;
bool writer_idle = true;
bool over;

bool arm_by_d;		/* track->mode */
bool wants_pml;

byte writes_left = 1, rounds_left = 2;	/* used up only if LIMITED */

/* --- Marking ------------------------------------------------------------- */

inline mark(p)
{
#ifdef BREAK_SUMMARY_FIRST
	summary = true;
	marked[p] = true
#else
	marked[p] = true;
	summary = true
#endif
}

/* --- vCPUs --------------------------------------------------------------- */

byte drained[2];

inline drain(c)
{
	drained[c] = SLOTS;
	do
	:: drained[c] > pml_free[c] ->
		mark(pml[c].slot[drained[c] - 1]);
		drained[c]--
	:: else -> break
	od;
	atomic {
#ifndef BREAK_DRAIN_KEEPS_INDEX
		pml_free[c] = SLOTS;
		pml[c].slot[0] = 0;
		pml[c].slot[1] = 0;
#endif
		drained[c] = 0
	}
}

inline set_dirty_flag(c, p)
{
	atomic {
		if
		:: leaf_w[p] && !leaf_d[p] ->
			leaf_d[p] = true;
			if
			:: pml_on[c] && pml_free[c] ->
				pml_free[c]--;
				pml[c].slot[pml_free[c]] = p
			:: else
			fi
		:: else
		fi
	}
}

/* The lock-free fix of a write fault. */
inline fix(p)
{
#ifdef BREAK_BIT_BEFORE_W
	mark(p);
	d_step { leaf_w[p] = true; leaf_d[p] = true }
#else
	if
	:: d_step { !leaf_w[p] -> leaf_w[p] = true; leaf_d[p] = true };
		mark(p)
	:: atomic { leaf_w[p] -> skip }	/* somebody else did, and will mark */
	fi
#endif
}

inline answer(c)
{
	if
	:: ask_drain[c] || ask_pml[c] -> drain(c)
	:: else
	fi;
	d_step {
		if
		:: ask_flush[c] -> tlb[c].page[0] = false; tlb[c].page[1] = false
		:: else
		fi;
		if
		:: ask_pml[c] -> pml_on[c] = wants_pml
		:: else
		fi;
		ask_drain[c] = false;
		ask_flush[c] = false;
		ask_pml[c] = false
	}
}

#define asked(c)	(ask_drain[c] || ask_flush[c] || ask_pml[c])

/* Forgets what is of no meaning any more, so that states coincide. */
#define NEXT_INSTRUCTION	atomic { p = 0; goto between }

proctype vcpu(byte c)
{
	byte p = 0;

between:
	if
	:: over -> goto done
	:: !over && stop ->
#ifndef BREAK_LAST_DRAIN_LATE
		drain(c);
#endif
		in_guest[c] = false;
		(!stop || over);
		in_guest[c] = true;
		goto between
	:: !over && !stop && asked(c) ->
		answer(c);
		goto between
#ifdef DRAIN_ANY_TIME
	:: !over && !stop && pml_free[c] < SLOTS -> drain(c); goto between
#endif
	:: !over && !stop && !quiet && !asked(c) -> p = 0
	:: !over && !stop && !quiet && !asked(c) && c == 0 -> p = 1
	fi;
	/* One instruction: translate, then write. */
	do
	:: atomic { tlb[c].page[p] -> differs[p] = true; p = 0; goto between }
	:: !tlb[c].page[p] && !leaf_w[p] ->
		fix(p);
		NEXT_INSTRUCTION
	:: !tlb[c].page[p] && leaf_w[p] && !leaf_d[p] ->
#ifndef BREAK_LOG_FULL_IGNORED
		if
		:: pml_on[c] && !pml_free[c] ->
			drain(c);
			NEXT_INSTRUCTION
		:: else
		fi;
#endif
		set_dirty_flag(c, p)
	:: atomic { !tlb[c].page[p] && leaf_w[p] && leaf_d[p] ->
		tlb[c].page[p] = true }
	od;
done:	skip
}

/* --- Umbra's own writer -------------------------------------------------- */

proctype writer()
{
	byte p = 0;

	do
	:: over -> break
	:: atomic { !over && !stop && !quiet && writes_left ->
		writes_left = writes_left - LIMITED; writer_idle = false };
#ifdef BREAK_WRITER_MARKS_FIRST
		mark(p);
		differs[p] = true;
#else
		differs[p] = true;
#ifndef BREAK_WRITER_UNMARKED
		mark(p);
#endif
#endif
		writer_idle = true
	od
}

/* --- The harvester ------------------------------------------------------- */

bool taken[PAGES];
bool flush_owed;

/* Everybody has answered, or is out of the guest and will before it enters. */
inline wait_answers(asked_0, asked_1)
{
	(!in_guest[0] || !asked_0);
	(!in_guest[1] || !asked_1)
}

inline flush()
{
	if
	:: flush_owed ->
		d_step { ask_flush[0] = true; ask_flush[1] = in_guest[1] || CPUS == 2 };
		wait_answers(ask_flush[0], ask_flush[1]);
		flush_owed = false
	:: else
	fi
}

inline kick()
{
	d_step { ask_drain[0] = true; ask_drain[1] = in_guest[1] || CPUS == 2 };
	wait_answers(ask_drain[0], ask_drain[1])
}

inline settle_pml()
{
	d_step { ask_pml[0] = true; ask_pml[1] = in_guest[1] || CPUS == 2 };
	wait_answers(ask_pml[0], ask_pml[1])
}

inline take_page(p)
{
#ifdef BREAK_NONATOMIC_TAKE
	taken[p] = taken[p] || marked[p];
	marked[p] = false
#else
	d_step { taken[p] = taken[p] || marked[p]; marked[p] = false }
#endif
}

inline take()
{
	if
	:: summary ->
#ifndef BREAK_SUMMARY_LATE
		summary = false;
#endif
		take_page(0);
		take_page(1);
#ifdef BREAK_SUMMARY_LATE
		summary = false
#endif
	:: else
	fi
}

inline arm_page(p)
{
	if
	:: taken[p] && arm_by_d ->
		d_step { flush_owed = flush_owed || leaf_d[p]; leaf_d[p] = false }
	:: taken[p] && !arm_by_d ->
		d_step { flush_owed = flush_owed || leaf_w[p]; leaf_w[p] = false }
	:: else
	fi
}

/* Reads both pages at once: the later one as early as it could be. */
inline send()
{
	d_step {
		differs[0] = differs[0] && !taken[0];
		differs[1] = differs[1] && !taken[1];
		taken[0] = false;
		taken[1] = false
	}
}

/* The link failed before anything of this batch was sent. */
inline give_back()
{
#ifndef BREAK_NOT_GIVEN_BACK
	if
	:: taken[0] -> mark(0)
	:: else
	fi;
	if
	:: taken[1] -> mark(1)
	:: else
	fi;
#endif
	d_step { taken[0] = false; taken[1] = false }
}

inline harvest()
{
#ifdef BREAK_FLUSH_BEFORE_REARM
	flush_owed = true;
	flush();
#endif
#ifdef BREAK_REARM_BEFORE_TAKE
	d_step { taken[0] = marked[0]; taken[1] = marked[1] };
	arm_page(0);
	arm_page(1);
	take();
#else
	take();
	arm_page(0);
	arm_page(1);
#endif
#ifdef BREAK_READ_BEFORE_FLUSH
	send();
#endif
#if defined(BREAK_NO_FLUSH) || defined(BREAK_FLUSH_BEFORE_REARM)
	flush_owed = false;
#endif
	flush();
	if
#ifdef GIVE_BACK
	:: true -> give_back()
#endif
	:: true -> send()
	fi
}

inline switch_to_pml()
{
	d_step { arm_by_d = true; wants_pml = true };
	settle_pml()
}

inline leave_pml_page(p)
{
	d_step {
		if
		:: leaf_w[p] && !leaf_d[p] ->
			leaf_w[p] = false;
			leaf_d[p] = true;
			flush_owed = true
		:: else
		fi
	}
}

inline switch_to_wp()
{
	arm_by_d = false;
#ifdef BREAK_PML_OFF_EARLY
	wants_pml = false;
	settle_pml();
#endif
	leave_pml_page(0);
	leave_pml_page(1);
	flush();
	wants_pml = false;
	settle_pml()
}

inline begin()
{
#ifdef MODE_PML
	d_step { arm_by_d = true; wants_pml = true };
#ifdef BREAK_PML_ON_LATE
	harvest();
#endif
	settle_pml()
#else
	skip
#endif
}

inline stop_all()
{
	stop = true;
	(!in_guest[0]);
	(!in_guest[1]);
	(writer_idle)
}

/* Two harvests after the last write the log is empty, and stays so. */
inline prove_progress()
{
	quiet = true;
	(writer_idle);
	kick();
	harvest_and_send();
	kick();
	harvest_and_send();
	kick();
	assert(!marked[0] && !marked[1])
}

inline harvest_and_send()
{
	take();
	arm_page(0);
	arm_page(1);
	flush();
	send()
}

active proctype harvester()
{
	byte c;

	atomic {
		in_guest[0] = true;
		run vcpu(0);
#if CPUS == 2
		in_guest[1] = true;
		run vcpu(1);
#endif
#ifdef WRITER
		run writer()
#endif
	}
	begin();
	do
	:: true -> kick()
	:: rounds_left -> rounds_left = rounds_left - LIMITED; harvest()
#if defined(MODE_PML) && defined(MODE_WP)
	:: arm_by_d -> switch_to_wp()
	:: !arm_by_d -> switch_to_pml()
#endif
	:: break
	od;
#ifdef PROGRESS
	prove_progress();
#endif
#ifndef BREAK_LAST_WHILE_RUNNING
	stop_all();
#endif
	take();
	arm_page(0);
	arm_page(1);
	send();
#ifdef BREAK_LAST_DRAIN_LATE
	c = 0;
	drain(c);
	c = 1;
	drain(c);
#endif
	assert(!differs[0] && !differs[1]);
	over = true
}
