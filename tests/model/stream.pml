/* SPDX-License-Identifier: MIT */
/*
 * The frames of migrate/stream.c, for spin.
 *
 * A sender with frames 0 to FRAMES - 1 and WINDOW slots, a receiver that puts
 * them in order, and two lines that may lose, repeat and reorder what is on
 * them. Frames of an earlier stream may still be under way (OLD). Numbers are
 * whole here; the code compares them by distance.
 *
 * What must hold at every instant:
 *	in order	the receiver gives out frame n only after n - 1, once
 *	ours		and never one of an old stream
 *	kept		a slot is free again only when its frame has arrived
 * and when both are done, all has arrived.
 *
 * Nothing is sent again by time alone: time makes the sender ask (PING), and the
 * answer shows what had not come. A line that loses everything for ever is not
 * a case; that the sender can always go on is (no deadlock).
 *
 * holds in_order		LOSSY
 * holds repeats		LOSSY REPEATS
 * holds old_frames		LOSSY OLD
 * holds arrives		RELIABLE
 *
 * Each BREAK_ makes one step wrong, and spin must find what follows:
 *
 * fails freed_when_seen	LOSSY BREAK_FREED_WHEN_SEEN
 * fails no_names		LOSSY OLD BREAK_NO_NAMES
 * fails given_out_when_come	LOSSY BREAK_OUT_OF_ORDER
 * fails taken_twice		LOSSY REPEATS BREAK_TAKEN_TWICE
 */
#define FRAMES	4
#define WINDOW	2

mtype = { DATA, PING, ACK };

/* kind, number or due, seen (of frame due + 1), is it of this stream? */
chan forth = [3] of { mtype, byte, bool, bool };
chan back = [2] of { mtype, byte, bool, bool };

byte acked, next;	/* the sender's; frames below `acked` are forgotten */
byte due, taken;	/* the receiver's */
bool here[WINDOW];	/* slots of the receiver: filled? */
byte what[WINDOW];	/* and with which frame; FRAMES + 1: an old one */
bool missing[WINDOW];	/* slots of the sender: to be sent again */
bool seen_here[WINDOW];

#define OLD_FRAME	(FRAMES + 1)

/* On a line that is full a frame is lost, as anywhere. */
inline put(line, kind, number, seen, ours)
{
	if
	:: nfull(line) -> line!kind, number, seen, ours
#ifdef LOSSY
	:: skip
#else
	:: full(line) -> skip
#endif
	fi;
#ifdef REPEATS
	if
	:: nfull(line) -> line!kind, number, seen, ours
	:: skip
	fi
#endif
}

inline on_ack(number, seen)
{
	if
	:: number >= acked && number <= next ->
		do
		:: acked < number ->
			/* kept: nothing is forgotten that has not arrived */
			assert(acked < due);
			seen_here[acked % WINDOW] = false;
			missing[acked % WINDOW] = false;
			acked++
		:: else -> break
		od;
		if
		:: seen && number + 1 < next ->
			seen_here[(number + 1) % WINDOW] = true;
			missing[(number + 1) % WINDOW] = false;
#ifdef BREAK_FREED_WHEN_SEEN
			assert(number + 1 < FRAMES);
			acked = number + 2
#endif
		:: else
		fi
	:: else
	fi
}

proctype sender()
{
	byte number;
	bool seen, ours;
	byte pings = 0;
	byte i;

	do
	:: acked == FRAMES -> break
	:: next < FRAMES && next < acked + WINDOW ->
		atomic { put(forth, DATA, next, false, true); next++ }
	:: acked < next && missing[acked % WINDOW] ->
		atomic {
			put(forth, DATA, acked, false, true);
			missing[acked % WINDOW] = false
		}
	:: acked < next && next == acked + WINDOW &&
	   missing[(acked + 1) % WINDOW] ->
		atomic {
			put(forth, DATA, acked + 1, false, true);
			missing[(acked + 1) % WINDOW] = false
		}
	/* Too long without a word. */
	:: acked < next && empty(forth) && empty(back) ->
		atomic { put(forth, PING, next, false, true) }
	:: atomic { back??ACK, number, seen, ours ->
#ifndef BREAK_NO_NAMES
		if
		:: ours -> on_ack(number, seen)
		:: else
		fi
#else
		on_ack(number, seen)
#endif
	   }
	/* The answer to a PING: what flew before it and was not seen. */
	:: atomic { back??PING, number, seen, ours ->
		if
		:: ours ->
			on_ack(number, seen);
			i = acked;
			do
			:: i < next ->
				if
				:: !seen_here[i % WINDOW] ->
					missing[i % WINDOW] = true
				:: else
				fi;
				i++
			:: else -> break
			od
		:: else
		fi
	   }
	od
}

inline take_data(number, ours)
{
	if
#ifdef BREAK_TAKEN_TWICE
	:: number < taken + WINDOW ->
#else
	:: number >= due && number < taken + WINDOW &&
	   !here[number % WINDOW] ->
#endif
		here[number % WINDOW] = true;
		if
		:: ours -> what[number % WINDOW] = number
		:: else -> what[number % WINDOW] = OLD_FRAME
		fi
	:: else
	fi;
	do
	:: due < taken + WINDOW && here[due % WINDOW] -> due++
	:: else -> break
	od
}

#define next_seen	(due + 1 < taken + WINDOW && here[(due + 1) % WINDOW])

proctype receiver()
{
	byte number;
	bool seen, ours;

end:	do
	:: atomic { forth??DATA, number, seen, ours ->
#ifndef BREAK_NO_NAMES
		if
		:: ours -> take_data(number, ours)
		:: else
		fi;
#else
		take_data(number, ours);
#endif
		put(back, ACK, due, next_seen, true)
	   }
	:: atomic { forth??PING, number, seen, ours ->
		put(back, PING, due, next_seen, true)
	   }
#ifdef BREAK_OUT_OF_ORDER
	:: atomic { taken < FRAMES && here[(taken + 1) % WINDOW] ->
		assert(what[(taken + 1) % WINDOW] == taken);
		here[(taken + 1) % WINDOW] = false;
		taken++
	   }
#endif
	/* The user takes the next one. */
	:: atomic { taken < due ->
		assert(what[taken % WINDOW] == taken);
		here[taken % WINDOW] = false;
		taken++
	   }
	od
}

init {
	atomic {
#ifdef OLD
		forth!DATA, 1, false, false;
		back!ACK, 1, false, false;
#endif
		run sender();
		run receiver()
	}
	/* When the sender is done, everything has come. */
	(acked == FRAMES);
	assert(due == FRAMES)
}
