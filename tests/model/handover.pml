/* SPDX-License-Identifier: MIT */
/*
 * The hand-over of migrate/source.c and migrate/receiver.c, for spin.
 *
 * A source whose guest writes, a destination, a person, and a link that may
 * lose, repeat or hold back each record, or die between any two. Either side
 * may lose patience at any moment; a person may cancel at any moment. Records
 * of an earlier migration may still be under way when it begins (OLD).
 *
 * What must hold at every instant:
 *	one owner	never do both sides run the guest
 *	complete	a destination that runs has what the source had last
 *	agreed		COMMIT follows READY, and nobody runs without COMMIT
 * and when the source is done without COMMIT, the guest runs there.
 *
 * Memory is one number, the count of writes; a round carries it over.
 *
 * holds one_owner		LOSSY
 * holds repeats		LOSSY REPEATS
 * holds old_records		LOSSY OLD
 * holds arrives		RELIABLE
 *
 * Each BREAK_ makes one step wrong, and spin must find what follows:
 *
 * fails run_when_ready		LOSSY BREAK_RUN_WHEN_READY
 * fails resume_after_commit	LOSSY BREAK_RESUME_AFTER_COMMIT
 * fails cancel_after_commit	LOSSY BREAK_CANCEL_AFTER_COMMIT
 * fails commit_unasked		LOSSY BREAK_COMMIT_UNASKED
 * fails run_after_giving_up	LOSSY BREAK_RUN_AFTER_GIVING_UP
 * fails person_does_not_look	LOSSY BREAK_PERSON_DOES_NOT_LOOK
 * fails stays_stopped		LOSSY BREAK_STAYS_STOPPED
 * fails last_round_early	RELIABLE BREAK_LAST_ROUND_EARLY
 * fails no_sequence		LOSSY BREAK_NO_SEQUENCE
 * fails no_session		LOSSY OLD BREAK_NO_SESSION
 */
#define WRITES	2
#define REPEAT_COUNT	2

mtype = { PAGES, PREPARE, PREPARED, SEAL, READY, COMMIT, RUNNING, CANCEL,
	  REFUSE };

/* type, sequence, is it of this session?, contents */
chan down = [6] of { mtype, byte, bool, byte };	/* to the destination */
chan up = [4] of { mtype, byte, bool, byte };

bool dead;		/* the link: nothing that is sent any more arrives */
bool source_runs = true, destination_runs;
bool committed, ready, gave_up, source_done;
byte writes;		/* memory at the source */

#define one_owner	assert(!(source_runs && destination_runs))

inline send_on(queue, type, number, contents)
{
	if
	:: !dead -> queue!type, number, true, contents
	:: dead
	fi;
	number++
}

/* --- The source ----------------------------------------------------------- */

byte down_sent, up_due, down_due, up_sent;

inline resume()
{
	atomic {
#ifndef BREAK_STAYS_STOPPED
		source_runs = true;
#endif
		one_owner
	}
}

/* Impatience, a dead link, a record that is wrong, a person: all the same. */
inline call_off()
{
	resume();
	send_on(down, CANCEL, down_sent, 0);
	goto over
}

/*
 * Waits for one record. Whatever else comes, or nothing, is a failure; with a
 * reliable link there is no reason to lose patience.
 */
#ifdef RELIABLE
#define PATIENCE_ENDS	false
#else
#define PATIENCE_ENDS	true
#endif

#ifdef BREAK_NO_SEQUENCE
#define in_order(number, due)	true
#else
#define in_order(number, due)	(number == due)
#endif
#ifdef BREAK_NO_SESSION
#define of_session(ours)	true
#define from_now(number, due, ours)	true
#else
#define of_session(ours)	(ours)
#define from_now(number, due, ours)	in_order(number, due)
#endif

proctype source()
{
	mtype type;
	byte number, contents;
	bool ours;

	send_on(down, PAGES, down_sent, writes);
	send_on(down, PREPARE, down_sent, 0);
	if
	:: up?type, number, ours, contents ->
		if
		:: type == PREPARED && from_now(number, up_due, ours) &&
		   of_session(ours) -> up_due++
		:: else -> call_off()
		fi
	:: PATIENCE_ENDS -> call_off()
	fi;
#ifdef BREAK_LAST_ROUND_EARLY
	send_on(down, PAGES, down_sent, writes);
	source_runs = false;
#else
	source_runs = false;
	send_on(down, PAGES, down_sent, writes);
#endif
	send_on(down, SEAL, down_sent, 0);
#ifndef BREAK_COMMIT_UNASKED
	if
	:: up?type, number, ours, contents ->
		if
		:: type == READY && from_now(number, up_due, ours) &&
		   of_session(ours) -> up_due++
		:: else -> call_off()
		fi
	:: PATIENCE_ENDS -> call_off()
	fi;
#endif
	/* A person may cancel, up to here. */
	if
	:: PATIENCE_ENDS -> call_off()
	:: true
	fi;
	atomic { committed = true; assert(ready) };
	send_on(down, COMMIT, down_sent, 0);
	if
	:: up?type, number, ours, contents ->
		if
		:: type == RUNNING && in_order(number, up_due) && ours ->
			goto over
		:: else
		fi
	:: PATIENCE_ENDS
#ifdef BREAK_CANCEL_AFTER_COMMIT
	:: PATIENCE_ENDS -> call_off()
#endif
	fi;
#ifdef BREAK_RESUME_AFTER_COMMIT
	resume();
#endif
	/* Unconfirmed. A person looks at the peer's console, and only then... */
	if
#ifdef BREAK_PERSON_DOES_NOT_LOOK
	:: true -> resume()
#else
	:: gave_up -> resume()
#endif
	:: true
	fi;
over:
	atomic {
		source_done = true;
		assert(committed || source_runs)
	}
}

/* --- The guest, as long as it runs at the source -------------------------- */

proctype guest()
{
end:	do
	:: atomic { source_runs && writes < WRITES && !committed ->
		writes++ }
	:: atomic { source_done -> break }
	od
}

/* --- The destination ------------------------------------------------------ */

inline give_up()
{
	gave_up = true;
	send_on(up, REFUSE, up_sent, 0);
	goto lost
}

inline run_guest()
{
	atomic {
		destination_runs = true;
		one_owner;
		assert(committed && memory == writes)
	}
}

#define due_now	(from_now(number, down_due, ours))

proctype destination()
{
	mtype type;
	byte number, contents, memory = 0;
	bool ours, prepared = false, sealed = false;

	do
	:: down?type, number, ours, contents ->
		if
		:: type == PAGES && due_now && !sealed ->
			memory = contents;
			down_due++
		:: type == PREPARE && due_now && !prepared && of_session(ours) ->
			prepared = true;
			down_due++;
			send_on(up, PREPARED, up_sent, 0)
		:: type == SEAL && due_now && prepared && !sealed &&
		   of_session(ours) ->
			sealed = true;
			down_due++;
			ready = true;
			send_on(up, READY, up_sent, 0);
#ifdef BREAK_RUN_WHEN_READY
			run_guest();
			break
#endif
		:: type == COMMIT && due_now && sealed && of_session(ours) ->
			run_guest();
			send_on(up, RUNNING, up_sent, 0);
			break
		:: else -> give_up()
		fi
	:: PATIENCE_ENDS -> give_up()
	od;
	goto done;
lost:
#ifdef BREAK_RUN_AFTER_GIVING_UP
	if
	:: down?COMMIT, number, ours, contents -> run_guest()
	:: true
	fi;
#endif
done:	skip
}

/* --- The link ------------------------------------------------------------- */

proctype link()
{
	mtype type;
	byte number, contents;
	bool ours;
	byte repeats_left = REPEAT_COUNT;

end:	do
#ifdef LOSSY
	:: atomic { nempty(down) -> down?type, number, ours, contents }
	:: atomic { nempty(up) -> up?type, number, ours, contents }
	:: atomic { !dead -> dead = true }
#endif
#ifdef REPEATS
	:: atomic { repeats_left && nempty(down) && nfull(down) ->
		repeats_left--;
		down?<type, number, ours, contents>;
		down!type, number, ours, contents }
	:: atomic { repeats_left && nempty(up) && nfull(up) ->
		repeats_left--;
		up?<type, number, ours, contents>;
		up!type, number, ours, contents }
#endif
	:: atomic { source_done -> break }
	od
}

init {
	atomic {
#ifdef OLD
		/* What an earlier migration has left on the way. */
		if
		:: down!COMMIT, 3, false, 0
		:: up!READY, 1, false, 0
		:: true
		fi;
#endif
		run link();
		run guest();
		run source();
		run destination()
	}
#ifdef RELIABLE
	(source_done);
	assert(destination_runs && !source_runs)
#endif
}
