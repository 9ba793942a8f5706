# SPDX-License-Identifier: MIT
"""`umbra migrate`: two machines, a guest, and its way from one to the other.

Each machine is a Side (side.py), or with --inside one of two guests of a third
machine (inside.py). A Migration attends to both, tells the one that has the
guest when to send it, shows how far that is, and follows the guest: its console
is that of the machine that runs it.
"""

import argparse
import contextlib
import json
import os
import re
import selectors
import sys
import time

from . import (console, engines, inside, joint, machine as machines, mux,
               report, run as runs, views)
from .history import History
from .children import work_directory
from .side import Side
from .trouble import FAILED, TIMED_OUT, TimedOut, Trouble, within

_TICK_SECONDS = 0.1
_DRAIN_SECONDS = 1
#: A machine that only waits may finish its words before it stands still.
_IDLE_SECONDS = 0.5
#: What is still under way from a machine that has ended.
_LAST_WORDS_SECONDS = 5
#: For a machine that is left alone to give its guest back, or to say that it
#: runs there.
_ANSWER_SECONDS = 10
_PAGE = 4096
_SIDES = ("source", "destination")
#: Bochs: the time of a machine that waits runs far ahead of the world's.
_DEFAULTS = ("host.ips=50000000", "umbra.link.silence=36000")
#: One machine has one clock; its serial line is slow beside a fast one.
_DEFAULTS_INSIDE = ("host.ips=10000000",)
#: Words of Umbra's that are this command's own.
_OURS = {"umbra.console": "", "umbra.exit": "", "umbra.receive": "",
         "umbra.link": "; --link says what joins the machines"}
_WISHES = ("downtime", "audit", "stuck", "compress")
_AUDITS = {"off": "nothing was compared",
           "sent": "in {} groups the pages that had contents are the same",
           "full": "{} groups of pages are the same"}


#: What a standstill is made of: at the source, and then at the destination.
HERE = ("pause", "copy", "state", "audit")
PARTS = (*HERE, "there")


def times_link(still):
    """The standstill, in what the link alone needed."""
    return still["total"] / max(still["link"], 1)


def _words(text):
    """key=value words of a record, numbers as such."""
    found = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        if equals:
            found[key] = int(value) if value.isdigit() else value
    return found


class Migration:
    def __init__(self, sides, view, keyboard, options, title=""):
        self._sides = sides
        self._view = view
        self._keyboard = keyboard
        self._at = options.at
        self._times = options.times
        self._then = list(options.then)  # lines that are not typed yet
        self._wishes = [pair for pair in options.set
                        if pair.partition("=")[0] in _WISHES]
        self._is_held = "start=no" in options.set
        self._selector = selectors.PollSelector()
        self.history = History(title)
        self._active = sides[0]
        self._tail = b""  # of the guest's output, for the mark
        self._mark_seen = False
        self._due = None
        self._under_way = False
        self._idle_since = None
        self._undecided = None  # the side that asks what to do with its guest
        self._answer_due = None  # when that is over, or a machine left alone
        self._wire = None
        self._gone = set()  # what has ended and has been spoken of
        self._lost = None  # why nobody has the guest any more
        self.results = []
        self._unsaid = None  # the last of them, until both have told
        self._work_there = None  # microseconds
        self.failed = False

    def run(self, wire, directory, timeout):
        """`wire` joins the machines, or is None where that is done else."""
        self._wire = wire
        try:
            with within(timeout):
                self._sides[0].start(directory, self._selector,
                                     self._on_data, self._view)
                if wire:
                    wire.wait()
                self._sides[1].start(directory, self._selector,
                                     self._on_data, self._view)
                return self._attend()
        except TimedOut:
            self._view.note(f"no end after {timeout:g} s (--timeout)")
            return TIMED_OUT
        finally:
            for side in self._sides:
                side.close()
                side.flush()
            self._view.close()
            self.history.close()
            self._selector.close()

    # --- The loop ---------------------------------------------------------

    def _attend(self):
        while self._active.verdict is None:
            self._step(_TICK_SECONDS)
            if self._is_held and not self._under_way and (
                    self.failed or len(self.results) >= self._times):
                self._hear_the_rest()
                return FAILED if self.failed else 0
            if self._keyboard.quit:
                return 0
            if self._active.child.ended() is not None:
                self._hear_last_words()
                if self._active.child.ended() is not None:
                    break  # and it is still the one with the guest
            self._miss_who_has_gone()
            if self._lost or self._waits_in_vain():
                self._view.note(self._lost or "the guest is stopped, and "
                                "nobody is there to say what is to become of "
                                "it")
                return FAILED
            self._begin_when_due()
            self._rest_who_waits()
        self._hear_last_words()
        self._hear_the_rest()
        if self._active.verdict is None:
            self._view.note(f"{self._active.why_ended()}; --log FILE shows "
                               "more")
            return FAILED
        return self._status()

    def _hear_last_words(self):
        """What was sent before an end may still be under way."""
        until = time.monotonic() + _LAST_WORDS_SECONDS
        while self._step(_DRAIN_SECONDS) and time.monotonic() < until:
            pass

    def _miss_who_has_gone(self):
        """Nothing moves without the other machine and what joins both, and
        the one with the guest may wait for long until it knows."""
        other = self._sides[1 - self._active.number]
        for each in filter(None, (other, self._wire)):
            if each in self._gone or each.child is None or \
                    each.child.ended() is None:
                continue
            self._gone.add(each)
            self._view.note(f"{each.why_ended()}; --log FILE shows more")
            if self._under_way or len(self.results) < self._times:
                self.failed = True
            if self._under_way:
                self._active.send(mux.MONITOR, b"cancel\n")
                self._answer_due = time.monotonic() + _ANSWER_SECONDS

    def _waits_in_vain(self):
        """For a machine that has gone, or a person who is not there."""
        return (self._answer_due is not None
                and (self._under_way or self._undecided is self._active)
                and time.monotonic() > self._answer_due)

    def _hear_the_rest(self):
        """Of the last move, where a machine has been silent so far."""
        while self._unsaid and self._step(_DRAIN_SECONDS):
            pass
        if self._unsaid:
            self._say_lines(self._unsaid)

    def _status(self):
        if self.failed:
            return FAILED
        if len(self.results) < self._times:
            self._view.note(self._why_not_migrated())
            return FAILED
        return self._active.verdict

    def _why_not_migrated(self):
        if self._active.verdict == FAILED:
            return ("the guest was not migrated, because Umbra could not run "
                    "it; its lines above say why")
        if isinstance(self._at, str) and not self._mark_seen:
            return (f"the guest ended and had not printed {self._at!r}; "
                    "choose another --at")
        return ("the guest ended before it was migrated; choose an earlier "
                "--at")

    def _step(self, seconds):
        self._watch_keys()
        ready = self._selector.select(seconds)
        for key, events in ready:
            key.data(events)
        self._view.tick()
        return bool(ready)

    # --- When -------------------------------------------------------------

    def _arm(self):
        """The guest is there: from now on the time counts."""
        self._tail = b""
        self._mark_seen = False
        if len(self.results) < self._times and isinstance(self._at, float):
            self._due = time.monotonic() + self._at

    def _look_for_mark(self, data):
        if (self._due is not None or self._under_way
                or not isinstance(self._at, str)
                or len(self.results) >= self._times):
            return
        mark = self._at.encode("utf-8", "surrogateescape")
        self._tail += data
        if mark in self._tail:
            self._mark_seen = True
            self._due = time.monotonic()
        self._tail = self._tail[-len(mark):]

    def _begin_when_due(self):
        other = self._sides[1 - self._active.number]
        if (self._due is None or time.monotonic() < self._due
                or not other.is_ready or self._active.guest is None
                or self._gone):
            return
        self._due = None
        self._set_out()
        self._active.send(mux.MONITOR, " ".join(
            ["migrate", str(self._active.guest), *self._wishes]).encode()
            + b"\n")

    def _set_out(self):
        self._under_way = True
        self._sides[1 - self._active.number].go_on()
        self.history.move_begins(self._active.number)

    def _rest_who_waits(self):
        """The machine without the guest, until the next move is due."""
        other = self._sides[1 - self._active.number]
        if (self._under_way or self.failed or not other.is_ready
                or other.guest is not None or self._active.guest is None
                or not other.may_stand_still()):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since >= _IDLE_SECONDS:
            other.stand_still()

    # --- What the machines say --------------------------------------------

    def _on_data(self, side, data):
        for event in side.decoder.feed(data):
            if isinstance(event, mux.Record):
                self._on_record(side, event.text)
            elif event.channel == mux.MONITOR:
                side.say(event.data)
            elif event.channel != mux.BOOT:
                self._view.guest(side, event)
                self.history.printed(side.number, event.data)
                if side is self._active:
                    self._look_for_mark(event.data)

    def _on_record(self, side, text):
        kind, _, rest = text.partition(" ")
        words = _words(rest)
        if kind == "end":
            side.verdict = int(rest)
        elif kind == "guest":
            side.guest = int(rest.split()[0])
            self.history.guest_is_at(side.number)
            if side is self._active:
                self._arm()
                self._type_line()
        elif kind == "waiting":
            side.is_ready = True
        elif kind == "migration":
            if not self._under_way and side is self._active:
                self._set_out()  # a person has begun it, at the monitor
            self._view.progress(words)
        elif kind == "not_begun":
            self.failed = self.failed or self._under_way
            self._under_way = False
        elif kind == "round":
            self.history.round_is_over(words)
        elif kind == "paused":
            self.history.guest_stands_still()
        elif kind == "arrived":
            self._follow(side)
            self._work_there = words.get("work_us", 0)
            self._say_statistics()
        elif kind == "migrated":
            self.results.append(words)
            self.history.move_ends(words)
            if words["result"] == "moved":
                self._follow(self._sides[1 - side.number])
            elif words["result"] == "unconfirmed":
                self._ask_for_a_decision(side)
        elif kind == "decided":
            self._decided(side, words)
        elif kind == "downtime_us" and self.results:
            self._end_one(words)
        else:
            self._view.note(f"unknown record from Umbra: {text!r}")

    def _follow(self, side):
        """The guest is there now, whichever of the two says so first."""
        self.history.guest_has_arrived(side.number)
        self._view.follow(side)
        self._active = side
        left = self._sides[1 - side.number]
        left.is_ready = True
        left.guest = None

    def _ask_for_a_decision(self, side):
        self._undecided = side
        if self._keyboard and self._keyboard.is_terminal:
            self._view.note(f"if the {self._sides[1 - side.number].name} has "
                            "the guest, type Ctrl-A c and destroy, else "
                            "Ctrl-A c and resume")
        else:
            self._answer_due = time.monotonic() + _ANSWER_SECONDS

    def _decided(self, side, words):
        """The machine that asked has been told who goes on with the guest."""
        resumed = words["what"] == "resumed"
        owner = side if resumed else self._sides[1 - side.number]
        self._undecided = None
        if owner is not self._active:
            self._follow(owner)
        if not resumed and owner.guest is None:
            self._lost = (f"the guest is no more: destroyed at the {side.name},"
                          f" and the {owner.name} has not got it")
        if resumed:
            side.guest = words["guest"]

    def _end_one(self, downtime):
        result = self.results[-1]
        result["downtime_us"] = downtime
        self.history.downtime_is(downtime)
        result["each_round"] = self.history.moves[-1].rounds
        self._unsaid = result
        result["standstill_here"] = self.history.moves[-1].standstill()
        self._under_way = False
        if result["result"] != "moved":
            self.failed = True
        self._say_statistics()
        self._arm()
        self._type_line()

    def _say_statistics(self):
        """Once both machines have told, if both have something to tell; either
        may be the first."""
        result = self._unsaid
        if result is None or (result["result"] == "moved"
                              and self._work_there is None):
            return
        if result["result"] == "moved":
            result["standstill"] = standstill(result["downtime_us"],
                                              self._work_there)
            self.history.standstill_is(result["standstill"])
        self._work_there = None
        self._say_lines(result)

    def _say_lines(self, result):
        self._unsaid = None
        for line in statistics(result):
            self._view.note(line)

    def _type_line(self):
        """A move is over, and the guest's number there is known: either
        machine may be the first to speak. The last line is for after the last
        move."""
        if (not self._then or self._active.guest is None or self._under_way
                or len(self.results) < self._times - len(self._then) + 1):
            return
        self._active.send(mux.guest_channel(self._active.guest),
                          self._then.pop(0).encode() + b"\n")

    # --- The keyboard -----------------------------------------------------

    def _watch_keys(self):
        wanted = (self._active.has_room() and self._active.guest is not None
                  and not self._under_way)
        self._keyboard.watch(self._selector,
                             wanted or self._keyboard.is_terminal,
                             self._on_keys)

    def _on_keys(self, _events):
        before = self._keyboard.channel
        for channel, data in self._keyboard.read():
            if channel == mux.MONITOR:
                (self._undecided or self._active).send(channel, data)
                continue
            if self._active.guest is not None:
                channel = mux.guest_channel(self._active.guest)
            self._active.send(channel, data)
        if self._keyboard.channel != before:
            self._say_where_keys_go()

    def _say_where_keys_go(self):
        if self._keyboard.channel == mux.MONITOR:
            side = self._undecided or self._active
            self._view.note(f"keys go to the {side.name}'s monitor (Ctrl-A c "
                            "changes), whose lines are shown when they are "
                            "complete")
        else:
            self._view.note("keys go to the guest (Ctrl-A c changes)")


def standstill(downtime, work_there):
    """Microseconds of each part, by the clock of the machine that worked: under
    Bochs a machine's time runs ahead while it waits for another one, so the
    source cannot tell how long the destination took. `link` is what the link
    was busy with: the pages written last, and the state."""
    parts = {name: downtime[name] for name in HERE}
    parts["there"] = work_there
    return {**parts, "total": sum(parts.values()),
            "link": downtime["copy"] + downtime["state"]}


def statistics(result):
    """Lines for people."""
    pages = result["raw"] + result["zero"]
    seconds = max(result["time_us"], 1) / 1e6
    yield (f"migration {result['result']}: {result['rounds']} rounds in "
           f"{seconds:.1f} s, {pages} pages ({result['raw']} with contents, "
           f"{result['lz4']} of them compressed, {result['delta']} as what "
           f"has changed, {result['lent']} not copied, "
           f"{result['zero']} zero), "
           f"{result['bytes']} bytes, "
           f"{result['rate'] / 1000:.0f} KB/s, {result['dirty']} pages/s "
           f"written, throttled by {result['throttle']} %")
    if result["result"] != "moved":
        return
    source, still = result["downtime_us"], result.get("standstill")
    if not still:
        yield (f"standstill {source['total'] / 1000:.1f} ms by the source's "
               "clock; the destination has not told how long it worked")
    else:
        yield (f"standstill {still['total'] / 1000:.1f} ms: " + ", ".join(
            f"{name} {still[name] / 1000:.1f}" for name in PARTS)
            + f"; {times_link(still):.2f} times what the link needed for "
            f"{source['pages']} pages and the state, {source['bytes']} bytes")
    yield f"audit {result['audit']}: " + _AUDITS[result["audit"]].format(
        result["groups"])


def _options_of(engine, options, defaults=_DEFAULTS):
    """As the user gave them, with what Bochs needs."""
    given = {pair.partition("=")[0] for pair in options.set}
    if engine.NAME == "bochs":
        options.set = [pair for pair in defaults
                       if pair.partition("=")[0] not in given] + options.set
    return options


def _machines(guests, options, engine, kind, root):
    # Both wait for guests, so neither leaves when its guest has: Bochs 2.7 dies
    # when the other end of its serial line is closed.
    words = ["console=mux", f"exit={engine.EXIT}", f"link={kind}",
             "receive=on"]
    first = runs.build_machine(guests, options, root, words)
    second = runs.build_machine(guests, options, root, words)
    second.modules = machines.for_resets(second.modules)
    for machine in (first, second):
        runs.check(machine, options, engine)
    return first, second


def _joined(guests, options, root, stack, outputs_of):
    engine, reason = engines.choose(options.engine)
    kind = options.link or joint.KINDS[engine.NAME][0]
    kind = "net" if kind == "tcp" else kind
    directory = stack.enter_context(work_directory())
    wire = joint.Joint(kind, engine, directory)
    pair = _machines(guests, _options_of(engine, options), engine, kind, root)
    outputs = outputs_of(pair[0])
    if reason:
        outputs.note(reason)
    stack.enter_context(wire)
    for machine, end in zip(pair, wire.ends):
        machine.link = end
    sides = [Side(_SIDES[number], number, machine, engine, root)
             for number, machine in enumerate(pair)]
    return sides, wire, directory, outputs


def _inside(guests, options, root, stack, outputs_of):
    """The same of two Umbras in one machine."""
    if options.link not in (None, "virtio"):
        raise Trouble("--inside joins the inner Umbras by virtio-serial; leave "
                      "--link out")
    engine, reason = engines.choose(options.engine)
    options = _options_of(engine, options, _DEFAULTS_INSIDE)
    machine = inside.build(guests, options, engine, root)
    outputs = outputs_of(machine)
    if reason:
        outputs.note(reason)
    outer = inside.Outer(machine, engine, root, _SIDES)
    return (outer.inners, None, stack.enter_context(work_directory()),
            outputs)


def migrate(guests, options, root):
    """The exit status: as of a run, of the machine that has the guest."""
    if len(guests) != 1:
        raise Trouble("umbra migrate takes one guest")
    for pair in options.set:
        key = pair.partition("=")[0]
        if key in _OURS:
            raise Trouble(f"--set {pair}: umbra migrate sets that itself"
                          + _OURS[key])
    if options.report:
        runs.check_output("--report", options.report)
    with contextlib.ExitStack() as stack:
        if options.json:
            stack.enter_context(_stdout_to_stderr())

        def outputs_of(machine):
            made = console.Outputs(machine.guest_names,
                                   runs.open_log(options.log))
            stack.callback(made.close)
            return made

        join = _inside if options.inside else _joined
        sides, wire, directory, outputs = join(guests, options, root, stack,
                                               outputs_of)
        keyboard = stack.enter_context(console.Keyboard())
        if keyboard.is_terminal:
            outputs.note("Ctrl-A x quits, Ctrl-A c goes to the monitor")
        view = (views.Columns(outputs, sides) if options.columns
                else views.Plain(outputs))
        migration = Migration(sides, view, keyboard, options,
                              os.path.basename(guests[0].path))
        status = migration.run(wire, directory, options.timeout)
        results = migration.results
    if options.json:
        print(json.dumps({"status": status, "migrations": results}))
    if options.report:
        report.write(options.report, migration.history, status)
    return status


@contextlib.contextmanager
def _stdout_to_stderr():
    """The guest's console makes way for what machines read."""
    sys.stdout.flush()
    kept = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, sys.stdout.fileno())
        os.close(kept)


def parse_at(text):
    """A number is seconds, anything else a mark in the guest's output."""
    if not text:
        raise argparse.ArgumentTypeError("an empty mark is none")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    return text
