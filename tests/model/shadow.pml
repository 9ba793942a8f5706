/* SPDX-License-Identifier: MIT */
/*
 * Dirty tracking of what L2 writes: shadow/shadow.h, for spin.
 *
 * Two CPUs run an L2 that has two addresses; each has a leaf in the shadow,
 * which maps one of two L1 pages: both may map the same. CPU 1 is also L1: it
 * makes an address mean the other page, and executes INVEPT. CPUs have TLBs
 * that keep translations until they flush; INVEPT flushes the CPU that executes
 * it, the other one flushes when it next enters the guest. A harvester copies
 * L1's pages, as in dirty_log.pml: `differs` is what has not been sent.
 *
 * WP		leaves are armed by W=0; the first write exits and is marked
 *		by its L1 page. PML is off.
 * TRANSLATE	leaves are armed by D=0; the CPU logs L2's address; when the log
 *		is drained (at each exit, before anything else) the address
 *		is translated by the leaf that the shadow has for it. A leaf
 *		that goes marks its page if it was writable: what stands in
 *		other CPUs' logs, or is yet to be written through their
 *		TLBs, cannot be translated any more.
 * STARTS	tracking begins while L2 runs
 *
 * holds wp			WP
 * holds wp_starts		WP STARTS
 * holds translate		TRANSLATE
 * holds translate_starts	TRANSLATE STARTS
 *
 * fails wp_no_flush		WP BREAK_NO_FLUSH
 * fails wp_read_before_flush	WP BREAK_READ_BEFORE_FLUSH
 * fails wp_own_flushes_only	WP BREAK_OWN_FLUSHES_ONLY
 * fails wp_one_alias		WP BREAK_ONE_ALIAS
 * fails wp_unmarked		WP BREAK_UNMARKED
 * fails wp_without_lock	WP BREAK_WITHOUT_LOCK
 * fails wp_tracking_read_early	WP STARTS BREAK_TRACKING_READ_EARLY
 * fails translate_unmarked_removal	TRANSLATE BREAK_UNMARKED_REMOVAL
 * fails translate_last_drain_late	TRANSLATE BREAK_LAST_DRAIN_LATE
 * fails translate_own_flushes_only	TRANSLATE BREAK_OWN_FLUSHES_ONLY
 */

/* L1's table, and the shadow's leaves made from it. */
bit page12[2];
bool present[2], writable[2], dirty[2];
bit page[2];

bool marked[2] = true, differs[2] = true;

typedef row { bool valid[2]; bit page[2] };
row tlb[2];
bool stale[2];		/* has not flushed since rights went away */

bool logged[2];		/* a log of one entry per CPU: */
bit log[2];		/* an address of L2's */

bool locked, tracking;
bool in_guest[2] = true;
bool asked[2];		/* to come out of the guest */
bool stop, over;
byte changes_left = 1, rounds_left = 1;

inline lock()	{ atomic { !locked -> locked = true } }
inline unlock()	{ locked = false }

inline owe_flush()
{
	d_step { stale[0] = true; stale[1] = true }
}

/* --- CPUs ---------------------------------------------------------------- */

/* In VMX root operation: before anything else, L2's addresses are used up. */
inline drain(c)
{
	lock();
	d_step {
		if
		:: logged[c] && present[log[c]] -> marked[page[log[c]]] = true
		:: else
		fi;
		logged[c] = false;
		log[c] = 0
	};
	unlock()
}

/* On the way into the guest. */
inline enter(c)
{
	d_step {
		if
		:: stale[c] ->
			tlb[c].valid[0] = false;
			tlb[c].valid[1] = false;
			stale[c] = false
		:: else
		fi;
		asked[c] = false;
		in_guest[c] = true
	}
}

/* A leaf that goes. */
inline remove(l)
{
	d_step {
		if
		:: present[l] ->
#if defined(TRANSLATE) && !defined(BREAK_UNMARKED_REMOVAL)
			if
			:: writable[l] && tracking -> marked[page[l]] = true
			:: else
			fi;
#endif
			present[l] = false;
			writable[l] = false;
			dirty[l] = false;
			page[l] = 0;
			stale[0] = true;
			stale[1] = true
		:: else
		fi
	}
}

inline install(l, tracked)
{
	d_step {
		present[l] = true;
		page[l] = page12[l];
#ifdef WP
		writable[l] = !tracked;
		dirty[l] = true
#else
		writable[l] = true;
		dirty[l] = !tracked
#endif
	}
}

/* A write fault. The CPU has left the guest. */
inline fault(c, l)
{
#ifdef TRANSLATE
	drain(c);
#endif
#ifdef BREAK_TRACKING_READ_EARLY
	seen = tracking;
	lock();
#else
	lock();
	seen = tracking;
#endif
	if
	:: !present[l] -> install(l, seen)
	:: else
	fi;
#ifdef WP
#ifdef BREAK_WITHOUT_LOCK
	which = page[l];
	unlock();
#endif
	if
	:: present[l] && !writable[l] ->
		writable[l] = true;
#ifndef BREAK_UNMARKED
#ifdef BREAK_WITHOUT_LOCK
		marked[which] = true
#else
		marked[page[l]] = true
#endif
#endif
	:: else
	fi;
#endif
#if !defined(WP) || !defined(BREAK_WITHOUT_LOCK)
	unlock();
#endif
	d_step { seen = false; which = 0 }
}

/* CPU 1 as L1: another page, INVEPT. */
inline change(l)
{
	atomic { changes_left--; page12[l] = 1 - page12[l] };
#ifdef TRANSLATE
	drain(1);
#endif
	lock();
	remove(l);
	unlock()
}

proctype cpu(bit c)
{
	bit l = 0, which = 0;
	bool seen = false;

between:
	if
	:: over -> goto done
	:: !over && stop ->
#if defined(TRANSLATE) && !defined(BREAK_LAST_DRAIN_LATE)
		drain(c);
#endif
		in_guest[c] = false;
		(!stop || over);
		enter(c);
		goto between
	:: !over && !stop && asked[c] ->
#ifdef TRANSLATE
		drain(c);
#endif
		enter(c);
		goto between
	:: !over && !stop && !asked[c] && c == 1 && changes_left ->
		if
		:: l = 0
		:: l = 1
		fi;
		change(l);
		enter(c);
		goto between
	:: !over && !stop && !asked[c] -> l = 0
	:: !over && !stop && !asked[c] -> l = 1
	fi;
	/* One write of L2's. */
	if
	:: atomic { tlb[c].valid[l] ->
		differs[tlb[c].page[l]] = true;
		l = 0;
		goto between }
	:: atomic { !tlb[c].valid[l] && present[l] && writable[l] && dirty[l] ->
		tlb[c].valid[l] = true;
		tlb[c].page[l] = page[l];
		differs[page[l]] = true;
		l = 0;
		goto between }
	:: atomic { !tlb[c].valid[l] && present[l] && writable[l] &&
		!dirty[l] && !logged[c] ->
		dirty[l] = true;
		logged[c] = true;
		log[c] = l;
		tlb[c].valid[l] = true;
		tlb[c].page[l] = page[l];
		differs[page[l]] = true;
		l = 0;
		goto between }
	:: !tlb[c].valid[l] && present[l] && writable[l] && !dirty[l] &&
	   logged[c] ->
		drain(c);	/* log full */
		enter(c);
		atomic { l = 0; goto between }
	:: !tlb[c].valid[l] && (!present[l] || !writable[l]) ->
		fault(c, l);
		enter(c);
		atomic { l = 0; goto between }
	fi;
done:	skip
}

/* --- The harvester ------------------------------------------------------- */

bool taken[2];
bool owed;

inline arm(l)
{
	d_step {
		if
		:: present[l] && taken[page[l]] ->
#ifdef WP
			owed = owed || writable[l];
			writable[l] = false
#else
			owed = owed || dirty[l];
			dirty[l] = false
#endif
		:: else
		fi
	}
}

inline send()
{
	d_step {
		differs[0] = differs[0] && !taken[0];
		differs[1] = differs[1] && !taken[1];
		taken[0] = false;
		taken[1] = false
	}
}

inline flush()
{
	d_step { asked[0] = true; asked[1] = true };
	(!in_guest[0] || !asked[0]);
	(!in_guest[1] || !asked[1])
}

inline harvest()
{
	d_step { taken[0] = marked[0]; marked[0] = false };
	d_step { taken[1] = marked[1]; marked[1] = false };
	lock();
	arm(0);
#ifndef BREAK_ONE_ALIAS
	arm(1);
#endif
	if
	:: owed -> owe_flush()
	:: else
	fi;
#ifndef BREAK_OWN_FLUSHES_ONLY
	owed = (stale[0] && in_guest[0]) || (stale[1] && in_guest[1]);
#endif
	unlock();
#ifdef BREAK_READ_BEFORE_FLUSH
	send();
#endif
	if
#ifndef BREAK_NO_FLUSH
	:: owed -> flush()
#else
	:: owed
#endif
	:: else
	fi;
	owed = false;
	send()
}

active proctype harvester()
{
	byte c;

	atomic {
#ifdef STARTS
		install(0, false);
		install(1, false);
#else
		tracking = true;
#endif
		run cpu(0);
		run cpu(1)
	}
#ifdef STARTS
	lock();
	tracking = true;
	unlock();
	d_step { marked[0] = true; marked[1] = true };
#endif
	do
	:: rounds_left -> rounds_left--; harvest()
	:: break
	od;
	stop = true;
	(!in_guest[0]);
	(!in_guest[1]);
	harvest();
#ifdef BREAK_LAST_DRAIN_LATE
	c = 0;
	drain(c);
	c = 1;
	drain(c);
#endif
	assert(!differs[0] && !differs[1]);
	over = true
}
