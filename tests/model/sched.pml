/* SPDX-License-Identifier: MIT */
/*
 * The scheduler of core/sched.c: two CPUs, vCPUs that halt, sleep until a timer
 * and send each other events, somebody outside who kicks, and a pause. What must
 * be true once nothing can happen any more by itself (CPUs are in HLT or in a
 * guest that neither exits nor halts):
 *
 *	no vCPU has an event that it has not looked at, unless it waits for a CPU
 *	while both are busy; no vCPU waits while a CPU that may run it sleeps; no
 *	timer runs that no CPU would wake for
 *
 * and at any time: a paused vCPU does not run, and CPUs do not go on telling each
 * other to look without running anything.
 *
 * The lock's sections are atomic here. The end of a slice is left out: nothing
 * may depend on it but who waits for a busy CPU.
 *
 * holds two_vcpus		VCPUS=2 EVENTS=2
 * holds three_vcpus		VCPUS=3 EVENTS=1
 * holds three_with_timers	VCPUS=3 EVENTS=0 TIMERS=1
 * holds two_with_timers	VCPUS=2 EVENTS=0 TIMERS=2
 * holds pinned			VCPUS=3 EVENTS=2 PINNED
 * holds paused			VCPUS=2 EVENTS=0 PAUSE
 * fails attention_ignored	VCPUS=2 EVENTS=2 BLOCKS_WITHOUT_LOOKING
 * fails attention_late		VCPUS=2 EVENTS=2 CLEARED_BEHIND_THE_LOOK
 * fails kick_unmarked		VCPUS=2 EVENTS=2 KICK_LEAVES_NO_MARK
 * fails nobody_called		VCPUS=2 EVENTS=1 READY_CALLS_NOBODY
 * fails silent_call		VCPUS=2 EVENTS=1 CALL_WITHOUT_INTERRUPT
 * fails running_not_told	VCPUS=2 EVENTS=2 RUNNING_IS_NOT_INTERRUPTED
 * fails rest_left_alone	VCPUS=2 EVENTS=3 PICK_LEAVES_THE_REST
 * fails released_silently	VCPUS=3 EVENTS=2 RELEASE_CALLS_NOBODY
 * fails released_to_the_busy	VCPUS=3 EVENTS=2 RELEASE_CALLS_THE_BUSY
 * fails resumed_silently	VCPUS=2 EVENTS=0 PAUSE RESUME_WITHOUT_KICK
 * fails pause_unseen		VCPUS=2 EVENTS=0 PAUSE PICK_IGNORES_PAUSE
 * fails timers_of_others	VCPUS=2 EVENTS=0 TIMERS=2 LOOK_SKIPS_THE_BLOCKED
 */

#define CPUS 2
#define NONE 9

#ifndef TIMERS
#define TIMERS 0
#endif

/* How often CPUs may call each other while no guest runs and nobody kicks. */
#define CALLS_MAX 16

mtype = { READY, RUNNING, BLOCKED };
mtype:timer = { OFF, ARMED, DUE };

mtype state[VCPUS] = READY;
byte on[VCPUS] = NONE;		/* where its VMCS is loaded, or NONE */
bool attention[VCPUS];
bool event[VCPUS];		/* sent, and not looked at */
bool halted[VCPUS];
mtype:timer timer[VCPUS] = OFF;
byte timers_left = TIMERS;

bool idle[CPUS], poked[CPUS], interrupt[CPUS];
bool sleeps[CPUS], in_guest[CPUS];
byte running[CPUS] = NONE;
byte loaded[CPUS] = NONE;
byte covers[CPUS];		/* the vCPUs whose timers end its sleep or run */

bool paused;
byte events_left = EVENTS;
byte calls;

#ifdef PINNED
#define pinned(v, c) ((v) != 2 && (v) != (c))
#else
#define pinned(v, c) false
#endif
#ifdef PICK_IGNORES_PAUSE
#define is_paused false
#else
#define is_paused paused
#endif

#define may_run(v, c) (!is_paused && !pinned(v, c) && \
		       (on[v] == NONE || on[v] == (c)))

#define fires(v, c) ((covers[c] >> (v) & 1) && timer[v] == DUE)
#if VCPUS == 2
#define a_timer_fires(c) (fires(0, c) || fires(1, c))
#else
#define a_timer_fires(c) (fires(0, c) || fires(1, c) || fires(2, c))
#endif

/* --- Under the lock ---------------------------------------------------------- */

/* `self` calls `c`; NONE is somebody who is no CPU. */
inline call_cpu(target, caller)
{
	idle[target] = false;
	poked[target] = true;
	calls++;
	assert(calls <= CALLS_MAX);
	if
	:: running[target] != NONE -> attention[running[target]] = true
	:: else
	fi;
#ifndef CALL_WITHOUT_INTERRUPT
	if
	:: caller != target -> interrupt[target] = true
	:: else
	fi
#endif
}

inline call_idle(woken, waker)
{
	if
	:: idle[0] && may_run(woken, 0) -> call_cpu(0, waker)
	:: else ->
		if
		:: idle[1] && may_run(woken, 1) -> call_cpu(1, waker)
		:: else
		fi
	fi
}

#define somebody_idle(v) ((idle[0] && may_run(v, 0)) || \
			  (idle[1] && may_run(v, 1)))
#define busy(v, c) (running[c] != NONE && may_run(v, c))

/* Which of the busy ones has had the most time is anybody's guess. */
inline call_busy(waiting, chooser)
{
	if
	:: busy(waiting, 0) -> call_cpu(0, chooser)
	:: busy(waiting, 1) -> call_cpu(1, chooser)
	:: else
	fi
}

inline make_ready(readied, actor)
{
	state[readied] = READY;
#ifndef READY_CALLS_NOBODY
	if
	:: somebody_idle(readied) -> call_idle(readied, actor)
	:: else -> call_busy(readied, actor)
	fi
#endif
}

inline kick(kicked, kicker)
{
#ifndef KICK_LEAVES_NO_MARK
	attention[kicked] = true;
#endif
	atomic {
		if
		:: state[kicked] == RUNNING ->
#ifndef RUNNING_IS_NOT_INTERRUPTED
			if
			:: on[kicked] != kicker -> interrupt[on[kicked]] = true
			:: else
			fi
#endif
			skip
		:: else -> make_ready(kicked, kicker)
		fi
	}
}

inline pass_on(left, leaver)
{
	if
	:: state[left] == READY -> call_idle(left, leaver)
	:: else
	fi
}

/* A timer that is due makes its vCPU ready, whoever notices. */
inline wake_due(sleeper, noticer)
{
	if
	:: state[sleeper] == BLOCKED && timer[sleeper] == DUE ->
		attention[sleeper] = true;
		make_ready(sleeper, noticer)
	:: else
	fi
}

#ifdef LOOK_SKIPS_THE_BLOCKED
#define covers_timer(v, c) false
#else
#define covers_timer(v, c) (state[v] == BLOCKED && timer[v] != OFF && \
			    may_run(v, c))
#endif

inline next_look(looker)
{
	covers[looker] = 0;
	if
	:: covers_timer(0, looker) -> covers[looker] = covers[looker] | 1
	:: else
	fi;
	if
	:: covers_timer(1, looker) -> covers[looker] = covers[looker] | 2
	:: else
	fi;
#if VCPUS == 3
	if
	:: covers_timer(2, looker) -> covers[looker] = covers[looker] | 4
	:: else
	fi
#endif
}

/* --- A CPU --------------------------------------------------------------------- */

proctype Cpu(byte c)
{
	byte v, old;

again:
	atomic {
		poked[c] = false;
#if TIMERS
		wake_due(0, c);
		wake_due(1, c);
#if VCPUS == 3
		wake_due(2, c);
#endif
#endif
		/* The least used is anybody's guess, too. */
		if
		:: state[0] == READY && may_run(0, c) -> v = 0
		:: state[1] == READY && may_run(1, c) -> v = 1
#if VCPUS == 3
		:: state[2] == READY && may_run(2, c) -> v = 2
#endif
		:: else -> v = NONE
		fi;
		if
		:: v != NONE ->
			state[v] = RUNNING;
			on[v] = c;
			running[c] = v;
			idle[c] = false
		:: else -> idle[c] = true
		fi;
#ifndef PICK_LEAVES_THE_REST
		/* Called for one it may have chosen another. */
		pass_on(0, c);
		pass_on(1, c);
#if VCPUS == 3
		pass_on(2, c);
#endif
#endif
		next_look(c)
	}
	if
	:: v == NONE -> goto sleep
	:: else
	fi;
	/* load: what was here becomes anybody's */
	old = loaded[c];
	if
	:: old != v && old != NONE ->
		atomic {
			loaded[c] = NONE;
			on[old] = NONE;
#ifdef RELEASE_CALLS_THE_BUSY
			if
			:: state[old] == READY -> make_ready(old, c)
			:: else
			fi
#else
#ifndef RELEASE_CALLS_NOBODY
			if
			:: state[old] == READY -> call_idle(old, c)
			:: else
			fi
#endif
#endif
			skip
		}
	:: else
	fi;
	loaded[c] = v;
	attention[v] = true;
look:
#ifndef CLEARED_BEHIND_THE_LOOK
	attention[v] = false;
#endif
	atomic {
		if
		:: event[v] -> event[v] = false; halted[v] = false
		:: else
		fi;
		if
		:: timer[v] == DUE -> timer[v] = OFF; halted[v] = false
		:: else
		fi
	}
#ifdef CLEARED_BEHIND_THE_LOOK
	attention[v] = false;
#endif
	if
	:: paused -> goto preempted
	:: !paused && halted[v] -> goto halts
	:: !paused && !halted[v] && poked[c] -> goto preempted
	:: else
	fi;
	/* An interrupt that is there already ends the stay at its beginning. */
	atomic {
		in_guest[c] = true;
		calls = 0
	}
guest:
	if
	:: atomic { interrupt[c] -> interrupt[c] = false; in_guest[c] = false };
		attention[v] = true;
		goto look
	:: atomic { !interrupt[c] && a_timer_fires(c) -> in_guest[c] = false };
		goto preempted
	:: atomic { !interrupt[c] && timer[v] == DUE -> in_guest[c] = false };
		goto look
	:: atomic { !interrupt[c] -> in_guest[c] = false; halted[v] = true };
		if
		:: atomic { timers_left > 0 && timer[v] == OFF ->
			timers_left--;
			timer[v] = ARMED }
		:: true
		fi;
		goto look
	:: atomic { !interrupt[c] && events_left > 0 ->
		in_guest[c] = false;
		events_left--;
		calls = 0;
		old = (v + 1) % VCPUS;
		event[old] = true };
		kick(old, c);
		if
		:: attention[v] -> goto look
		:: else -> atomic { in_guest[c] = true; goto guest }
		fi
	/* Or it does none of these, for ever. */
	:: atomic { !interrupt[c] -> skip };
		goto end_spin
	fi;
end_spin:
	if
	:: atomic { interrupt[c] -> interrupt[c] = false; in_guest[c] = false };
		attention[v] = true;
		goto look
	:: atomic { a_timer_fires(c) -> in_guest[c] = false }; goto preempted
	:: atomic { timer[v] == DUE -> in_guest[c] = false }; goto look
	fi;

halts:
	atomic {
		running[c] = NONE;
#ifdef BLOCKS_WITHOUT_LOOKING
		state[v] = BLOCKED
#else
		state[v] = (attention[v] -> READY : BLOCKED)
#endif
	}
	goto ran;
preempted:
	atomic {
		running[c] = NONE;
		state[v] = READY
	}
ran:
	/* Interrupts are let in for a moment. */
	interrupt[c] = false;
	goto again;

sleep:
	if
	:: poked[c] -> goto again
	:: else
	fi;
	sleeps[c] = true;
end_sleep:
	atomic {
		interrupt[c] || a_timer_fires(c) ->
		interrupt[c] = false;
		sleeps[c] = false
	}
	goto again
}

/* --- The world outside ------------------------------------------------------------ */

/* A device that is no vCPU's doing. */
proctype Outside()
{
	byte v;

	do
	:: atomic { events_left > 0 ->
		events_left--;
		calls = 0;
		if
		:: v = 0
		:: v = VCPUS - 1
		fi;
		event[v] = true };
		kick(v, NONE)
	:: break
	od
}

/* Time goes by. */
proctype Clock()
{
end_clock:
	do
	:: timer[0] == ARMED -> timer[0] = DUE
	:: timer[1] == ARMED -> timer[1] = DUE
#if VCPUS == 3
	:: timer[2] == ARMED -> timer[2] = DUE
#endif
	od
}

#define runs(v) (state[v] == RUNNING)

proctype Pauser()
{
	paused = true;
	kick(0, NONE);
	kick(1, NONE);
	!runs(0);
	!runs(1);
	/* From now on none does, until it is taken back. */
	assert(!in_guest[0] && !in_guest[1]);
	atomic {
		assert(!in_guest[0] && !in_guest[1]);
		paused = false;
		calls = 0
	}
#ifndef RESUME_WITHOUT_KICK
	kick(0, NONE);
	kick(1, NONE)
#endif
}

/* --- When nothing happens any more ------------------------------------------------ */

#define waits_beside(v, c) (state[v] == READY && sleeps[c] && may_run(v, c))
#define unseen(v) (event[v] && state[v] != READY)
#define forgotten(v) (state[v] == BLOCKED && timer[v] != OFF)

inline judge(judged)
{
	assert(!waits_beside(judged, 0) && !waits_beside(judged, 1));
	assert(!unseen(judged));
	assert(!forgotten(judged))
}

proctype Judge()
{
	timeout;
	judge(0);
	judge(1);
#if VCPUS == 3
	judge(2)
#endif
}

init {
	atomic {
		run Cpu(0);
		run Cpu(1);
		run Outside();
#if TIMERS
		run Clock();
#endif
#ifdef PAUSE
		run Pauser();
#endif
		run Judge()
	}
}
