# SPDX-License-Identifier: MIT
"""umbra migrate: what is said about a migration, and when it begins."""

import io
import pathlib
import re
import sys
import unittest
from unittest import mock
from xml.etree import ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
# pylint: disable=wrong-import-position,protected-access
import demo
import front
from umbra import (cli, console, history, inside, migrate, mux, report, run,
                   views)
from umbra.trouble import Trouble

MOVED = {
    "result": "moved", "rounds": 3, "raw": 10, "lz4": 4, "delta": 2,
    "lent": 3, "zero": 90, "bytes": 50000, "rate": 7000000, "dirty": 12,
    "time_us": 2500000, "audit": "full", "groups": 16, "throttle": 20,
    "downtime_us": {"total": 1500, "pause": 100, "copy": 400, "state": 50,
                    "audit": 550, "answer": 300, "start": 100, "pages": 7,
                    "bytes": 900},
    "standstill": migrate.standstill(
        {"pause": 0, "copy": 400, "state": 100, "audit": 75}, 25),
}


class Words(unittest.TestCase):
    def test_numbers_are_numbers_and_words_words(self):
        self.assertEqual(migrate._words("round=3 result=moved odd x=1.5"),
                         {"round": 3, "result": "moved", "x": "1.5"})

    def test_a_time_is_seconds_and_anything_else_a_mark(self):
        self.assertEqual(migrate.parse_at("2.5"), 2.5)
        self.assertEqual(migrate.parse_at("7"), 7.0)
        self.assertEqual(migrate.parse_at("7 laps"), "7 laps")


class Statistics(unittest.TestCase):
    def test_all_figures_are_said(self):
        text = "\n".join(migrate.statistics(MOVED))
        for words in ("3 rounds in 2.5 s", "100 pages (10 with contents, 4 of "
                      "them compressed, 2 as what has changed, 3 not copied, "
                      "90 zero)",
                      "50000 bytes", "7000 KB/s",
                      "12 pages/s written", "throttled by 20 %",
                      "standstill 0.6 ms: pause 0.0, copy 0.4, state 0.1, "
                      "audit 0.1, there 0.0; 1.20 times what the link needed "
                      "for 7 pages", "16 groups of pages are the same"):
            self.assertIn(words, text)

    def test_a_destination_that_is_silent_is_not_guessed_at(self):
        told = {key: MOVED[key] for key in MOVED if key != "standstill"}
        self.assertIn("standstill 1.5 ms by the source's clock",
                      "\n".join(migrate.statistics(told)))

    def test_without_audit_nothing_is_claimed(self):
        lines = list(migrate.statistics({**MOVED, "audit": "off"}))
        self.assertEqual(lines[-1], "audit off: nothing was compared")

    def test_audit_of_what_was_sent_claims_no_more(self):
        lines = list(migrate.statistics({**MOVED, "audit": "sent"}))
        self.assertEqual(lines[-1], "audit sent: in 16 groups the pages that "
                         "had contents are the same")

    def test_who_stays_has_no_standstill(self):
        lines = list(migrate.statistics({**MOVED, "result": "failed"}))
        self.assertEqual(len(lines), 1)
        self.assertIn("migration failed", lines[0])


class Bar(unittest.TestCase):
    def test_bar_fills_as_pages_go(self):
        self.assertIn("[............", views.bar({"left": 100, "total": 100}))
        half = views.bar({"left": 50, "total": 100, "round": 2})
        self.assertIn("[############............] round 2, 50 of 100", half)
        self.assertIn("[########################]", views.bar(
            {"left": 0, "total": 100}))

    def test_bar_fits_its_terminal(self):
        """A line that wraps could not be taken back."""
        written = []
        with mock.patch.object(views, "_width", lambda: 40), \
                mock.patch.object(console, "write",
                                  lambda _, data: written.append(data)), \
                mock.patch.object(sys.stderr, "isatty", lambda: True):
            views._Bar().show({"left": 50, "total": 100})
        self.assertEqual(len(written[0].removeprefix(b"\r\x1b[K")), 39)

    def test_no_pages_are_no_trouble(self):
        views.bar({"left": 0, "total": 0})


class Sides:
    """What a view knows of a machine."""

    def __init__(self, number, name):
        self.number, self.name = number, name


class Columns(unittest.TestCase):
    def setUp(self):
        self.sides = [Sides(0, "source"), Sides(1, "destination")]
        self.written = []
        kept = views.Columns._write
        self.addCleanup(setattr, views.Columns, "_write", kept)
        views.Columns._write = self.written.append
        self.log = io.BytesIO()
        outputs = console.Outputs(["ring"], console.Log(self.log))
        self.view = views.Columns(outputs, self.sides, width=83)
        self.written.clear()

    def test_each_side_has_its_column(self):
        self.view.umbra(self.sides[0], b"left")
        self.view.umbra(self.sides[1], b"right")
        self.assertEqual([line.rstrip() for line in self.written],
                         ["left" + 36 * " " + " |",
                          40 * " " + " | right"])

    def test_what_is_too_long_goes_on_below(self):
        self.view.umbra(self.sides[1], b"word " * 20)
        self.assertEqual(len(self.written), 3)
        self.assertTrue(all(len(line) <= 83 for line in self.written))

    def test_all_of_it_is_in_the_log_too(self):
        self.view.umbra(self.sides[1], b"error: why")
        self.view.guest(self.sides[0], mux.Text(1, b"lap 1\n"))
        self.assertRegex(self.log.getvalue().decode(),
                         r"^\S+ destination\| error: why\n"
                         r"\S+ ring\| lap 1\n$")

    def test_a_line_cut_by_the_move_ends_where_the_guest_goes_on(self):
        self.view.guest(self.sides[0], mux.Text(1, b"half a "))
        self.view.follow(self.sides[1])
        self.view.guest(self.sides[1], mux.Text(1, b"line\n"))
        self.assertEqual(self.written, [40 * " " + " | half a line"
                                        + 29 * " "])


class Plain(unittest.TestCase):
    def setUp(self):
        self.written = []
        patched = mock.patch.object(
            console, "write", lambda _, data: self.written.append(data))
        patched.start()
        self.addCleanup(patched.stop)
        self.side = Sides(0, "source")
        self.view = views.Plain(console.Outputs(["ring"]))

    def test_umbra_does_not_break_the_guests_line(self):
        self.view.guest(self.side, mux.Text(1, b"half a "))
        self.view.umbra(self.side, b"why")
        self.view.guest(self.side, mux.Text(1, b"line\n"))
        self.assertEqual(self.written,
                         [b"half a ", b"line\n", b"source: why\n"])

    def test_it_does_not_wait_for_the_end_of_a_prompt(self):
        self.view.guest(self.side, mux.Text(1, b"$ "))
        self.view.umbra(self.side, b"why")
        with mock.patch.object(views, "_LINE_SECONDS", 0):
            self.view.tick()
        self.assertEqual(self.written, [b"$ ", b"source: why\n"])

    def test_what_is_said_keeps_its_order(self):
        self.view.guest(self.side, mux.Text(1, b"$ "))
        self.view.umbra(self.side, b"first")
        self.view.note("second")
        self.assertEqual(self.written[1:],
                         [b"source: first\n", b"umbra: second\n"])


def history_of_one_move(result="moved"):
    told = history.History("ring & co")
    told.guest_is_at(0)
    told.printed(0, b"L2: lap 1\nL1: <lap> 1\nplain\nL2: la")
    told.move_begins(0)
    for number, found in ((0, 5), (1, 9)):
        told.round_is_over({"number": number, "raw": 10, "zero": 90,
                            "bytes": 5000, "us": 1000, "left": 7,
                            "logged": found, "faults": 0,
                            "l2_faults": 2 * found})
    told.guest_stands_still()
    told.guest_has_arrived(1)
    told.printed(1, b"p 2\n")
    told.move_ends({**MOVED, "result": result})
    told.downtime_is(MOVED["downtime_us"])
    told.standstill_is(MOVED["standstill"])
    told.close()
    return told


class Report(unittest.TestCase):
    def test_a_line_cut_by_the_move_is_one_line(self):
        told = history_of_one_move()
        self.assertEqual([line.text for line in told.consoles[1]],
                         ["L2: lap 2"])

    def test_it_is_one_well_formed_page_of_its_own(self):
        page = report.page(history_of_one_move(), 1)
        for svg in re.findall(r"<svg.*?</svg>", page):
            ElementTree.fromstring(svg)
        self.assertEqual(page.count("<svg"), 3)
        self.assertNotIn("http", page)
        self.assertIn("ring &amp; co", page)
        self.assertIn("&lt;lap&gt;", page)

    def test_it_shows_who_spoke_where_and_what_each_round_found(self):
        page = report.page(history_of_one_move(), 1)
        for words in ("source: L1", "source: L2", "source: console",
                      "stands still", "saw 0 ms",
                      "destination: L2", "every audit agreed",
                      "10 + 90 zero"):
            self.assertIn(words, page)
        # The second round's own finds: 9 - 5, and twice that.
        self.assertRegex(page, r"<td>4</td><td>0</td><td>0</td><td>8</td></tr>")

    def test_a_failure_is_no_success(self):
        self.assertIn("not as it should be",
                      report.page(history_of_one_move("failed"), 1))
        self.assertIn("not as it should be",
                      report.page(history_of_one_move(), 3))

    def test_nothing_happened(self):
        told = history.History()
        told.close()
        self.assertIn("0 of 0", report.page(told, 125))

    def test_a_move_that_a_person_began_is_there_too(self):
        told = history.History()
        told.round_is_over({"number": 0})
        told.close()
        self.assertEqual(len(told.moves), 1)
        report.page(told, 1)


class Demo(unittest.TestCase):
    GOOD = {**MOVED, "each_round": [{"l2_faults": 3, "l2_logged": 0}]}

    def test_all_is_well(self):
        self.assertEqual(demo.doubts(1, self.GOOD), [])

    def test_each_thing_that_is_wrong_is_said(self):
        for status, result in ((1, None), (3, self.GOOD), (124, self.GOOD),
                               (1, {**self.GOOD, "audit": "off"}),
                               (1, {**self.GOOD, "result": "failed"}),
                               (1, {**self.GOOD, "each_round": []}),
                               (1, {key: value for key, value in
                                    self.GOOD.items() if key != "standstill"}),
                               (1, {**self.GOOD, "standstill":
                                    {"total": 140, "link": 100}})):
            self.assertEqual(len(demo.doubts(status, result)), 1)


class Child:
    """Of a machine: it runs until a test gives it a status."""
    status = None

    def ended(self):
        return self.status


class Machine(Sides):
    """One that takes all that it is sent."""

    def __init__(self, number, name):
        super().__init__(number, name)
        self.guest = self.verdict = None
        self.is_ready = True
        self.sent = []
        self.can_rest = True
        self.rests = []
        self.child = Child()

    def why_ended(self):
        return f"the {self.name} has gone"

    def may_stand_still(self):
        return self.can_rest

    def stand_still(self):
        self.rests.append(True)

    def go_on(self):
        self.rests.append(False)

    def send(self, channel, data):
        self.sent.append((channel, data))


class Deaf:
    """A view that shows nothing."""

    def __getattr__(self, _name):
        return lambda *_: None


class Rest(unittest.TestCase):
    """The machine that waits for a guest takes no time of the one that runs
    it, unless something ties its clock to the world's."""

    def setUp(self):
        self.addCleanup(setattr, migrate, "_IDLE_SECONDS",
                        migrate._IDLE_SECONDS)
        migrate._IDLE_SECONDS = 0
        options = cli._parser().parse_args(["migrate", "x", "--at", "mark"])
        self.sides = [Machine(0, "source"), Machine(1, "destination")]
        self.moving = migrate.Migration(self.sides, Deaf(), None, options)
        self.moving._on_record(self.sides[0], "guest 0 name=web")

    def rest(self):
        for _ in range(3):
            self.moving._rest_who_waits()
        return [side.rests[-1:] for side in self.sides]

    def move(self):
        self.moving._look_for_mark(b"mark")
        self.moving._begin_when_due()

    def test_who_waits_rests_and_is_woken_before_the_guest_comes(self):
        self.assertEqual(self.rest(), [[], [True]])
        self.move()
        self.assertEqual(self.rest(), [[], [False]])

    def test_then_it_is_the_other_one(self):
        self.move()
        self.moving._on_record(self.sides[1], "guest 0 name=web")
        for text in LastLine.SOURCE:
            self.moving._on_record(self.sides[0], text)
        self.assertEqual(self.rest(), [[True], [False]])

    def test_whoever_may_have_the_guest_does_not_rest(self):
        self.move()
        for text in LastLine.SOURCE:
            self.moving._on_record(self.sides[0],
                                   text.replace("=moved", "=unconfirmed"))
        self.assertEqual(self.rest(), [[], [False]])

    def test_a_person_at_the_monitor_wakes_it_too(self):
        self.assertEqual(self.rest(), [[], [True]])
        self.moving._on_record(self.sides[0], "migration round=0 left=9")
        self.assertEqual(self.rest(), [[], [False]])

    def test_a_clock_of_the_world_does_not_stand_still(self):
        self.sides[1].can_rest = False
        self.assertEqual(self.rest(), [[], []])


class Noted(Deaf):
    """A view that keeps what the front end has to say."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


class Typed:
    """A terminal on which this has been typed."""
    fd, is_terminal, quit, channel = 0, True, False, mux.guest_channel(0)

    def __init__(self, *inputs):
        self.inputs = inputs

    def read(self):
        return self.inputs


class Undecided(unittest.TestCase):
    """Nobody has confirmed that the guest runs at the destination: its console
    is there, if it does, and the prompt that asks what to do is here."""

    def setUp(self):
        options = cli._parser().parse_args(["migrate", "x", "--at", "mark"])
        self.sides = [Machine(0, "source"), Machine(1, "destination")]
        keyboard = Typed((mux.MONITOR, b"status\n"),
                         (mux.guest_channel(0), b"ls\n"))
        self.moving = migrate.Migration(self.sides, Deaf(), keyboard, options)
        self.said(0, "guest 0 name=web")
        self.moving._look_for_mark(b"mark")
        self.moving._begin_when_due()
        self.said(1, "guest 2 name=web")
        self.said(1, "arrived")
        for text in LastLine.SOURCE:
            self.said(0, text.replace("=moved", "=unconfirmed"))
        self.sides[0].sent.clear()

    def said(self, number, text):
        self.moving._on_record(self.sides[number], text)

    def typed(self):
        for side in self.sides:
            side.sent.clear()
        self.moving._on_keys(0)
        return [[data for _, data in side.sent] for side in self.sides]

    def test_the_monitor_is_that_of_the_source(self):
        self.assertEqual(self.typed(), [[b"status\n"], [b"ls\n"]])

    def test_when_it_is_destroyed_all_goes_where_the_guest_is(self):
        self.said(0, "decided what=destroyed guest=0")
        self.assertEqual(self.typed(), [[], [b"status\n", b"ls\n"]])

    def test_guest_that_is_destroyed_and_nowhere_else_ends_it(self):
        self.said(0, "decided what=destroyed guest=0")
        self.assertIsNone(self.moving._lost)
        self.sides[1].guest = None
        self.said(0, "decided what=destroyed guest=0")
        self.assertIn("the guest is no more", self.moving._lost)

    def test_when_it_is_resumed_all_goes_to_the_source(self):
        self.said(0, "decided what=resumed guest=0")
        self.assertEqual(self.typed(), [[b"status\n", b"ls\n"], []])


class Mishaps(unittest.TestCase):
    """What goes wrong on the way is said, and does not wait for ever."""

    def setUp(self):
        self.begin("mark")

    def begin(self, at, is_terminal=False):
        options = cli._parser().parse_args(["migrate", "x", "--at", at])
        self.sides = [Machine(0, "source"), Machine(1, "destination")]
        self.view = Noted()
        keyboard = Typed()
        keyboard.is_terminal = is_terminal
        self.moving = migrate.Migration(self.sides, self.view, keyboard,
                                        options)
        self.said("guest 0 name=web")

    def said(self, text):
        self.moving._on_record(self.sides[0], text)

    def set_out(self):
        self.moving._look_for_mark(b"mark")
        self.moving._begin_when_due()
        self.sides[0].sent.clear()

    def ends(self, status=0):
        self.sides[0].verdict = status
        self.assertEqual(self.moving._status(), 125)
        return self.view.notes

    def wait_in_vain(self):
        self.assertFalse(self.moving._waits_in_vain())
        if self.moving._answer_due:
            self.moving._answer_due -= migrate._ANSWER_SECONDS
        return self.moving._waits_in_vain()

    def test_mark_that_never_came_is_named(self):
        self.assertIn("had not printed 'mark'", self.ends()[0])

    def test_mark_is_seen_wherever_the_line_cuts_it(self):
        mark = "déjà vu".encode()
        for at in range(1, len(mark)):
            self.begin("déjà vu")
            self.moving._look_for_mark(b"x" + mark[:at])
            self.assertFalse(self.moving._mark_seen)
            self.moving._look_for_mark(mark[at:] + b"x")
            self.assertTrue(self.moving._mark_seen, at)

    def test_time_that_never_came_is_no_mark(self):
        self.begin("99")
        self.assertIn("choose an earlier --at", self.ends()[0])

    def test_guest_that_could_not_run_has_not_ended_too_early(self):
        self.assertIn("could not run it", self.ends(125)[0])

    def test_move_that_umbra_does_not_begin_has_failed(self):
        self.set_out()
        self.said("not_begun")
        self.assertEqual(self.ends(), [])
        self.assertFalse(self.moving._under_way)

    def test_what_a_person_asks_for_in_vain_is_no_failure(self):
        self.said("not_begun")
        self.assertFalse(self.moving.failed)

    def test_destination_that_has_gone_gives_the_guest_back(self):
        self.set_out()
        self.sides[1].child.status = -9
        for _ in range(2):
            self.moving._miss_who_has_gone()
        self.assertEqual(self.sides[0].sent, [(mux.MONITOR, b"cancel\n")])
        self.assertEqual(len(self.view.notes), 1)
        self.assertIn("the destination has gone", self.view.notes[0])
        self.assertTrue(self.wait_in_vain())
        self.assertEqual(len(self.ends()), 1)

    def test_nobody_sets_out_to_where_nobody_is(self):
        self.sides[1].child.status = 1
        self.moving._miss_who_has_gone()
        self.set_out()
        self.assertFalse(self.moving._under_way)
        self.assertEqual(len(self.ends()), 1)

    def test_what_joins_them_is_missed_as_well(self):
        self.moving._wire = Machine(2, "wire")
        self.set_out()
        self.moving._wire.child.status = -9
        self.moving._miss_who_has_gone()
        self.assertTrue(self.moving.failed)

    def test_source_may_go_when_all_is_over(self):
        self.set_out()
        self.moving._on_record(self.sides[1], "guest 0 name=web")
        for text in LastLine.SOURCE:
            self.said(text)
        self.sides[0].child.status = 0
        self.moving._miss_who_has_gone()
        self.assertFalse(self.moving.failed)

    def unconfirmed(self):
        self.set_out()
        for text in LastLine.SOURCE:
            self.said(text.replace("=moved", "=unconfirmed"))

    def test_person_at_a_terminal_is_told_what_to_type(self):
        self.begin("mark", is_terminal=True)
        self.unconfirmed()
        self.assertIn("type Ctrl-A c and destroy", self.view.notes[0])
        self.assertFalse(self.wait_in_vain())

    def test_nobody_waits_for_a_person_who_is_not_there(self):
        self.unconfirmed()
        self.assertTrue(self.wait_in_vain())

    def test_guest_that_runs_there_needs_no_decision_to_go_on(self):
        self.unconfirmed()
        self.moving._on_record(self.sides[1], "arrived")
        self.assertFalse(self.wait_in_vain())


class LastLine(unittest.TestCase):
    """It is typed once, for the guest's number where it now is, whichever
    machine speaks first."""

    SOURCE = ("migrated result=moved rounds=1 raw=1 lz4=0 delta=0 lent=0 "
              "zero=0 "
              "bytes=1 rate=1 dirty=0 time_us=1 audit=off groups=0 throttle=0",
              "downtime_us total=1 pause=0 copy=0 state=1 audit=0 answer=0 "
              "start=0 pages=1 bytes=1")
    DESTINATION = ("arrived", "guest 3 name=web")

    def typed(self, order):
        options = cli._parser().parse_args(
            ["migrate", "x", "--at", "mark", "--then", "enough"])
        sides = [Machine(0, "source"), Machine(1, "destination")]
        moving = migrate.Migration(sides, Deaf(), None, options)
        moving._on_record(sides[0], "guest 0 name=web")
        moving._look_for_mark(b"mark")
        moving._begin_when_due()
        self.assertEqual(len(sides[0].sent), 1)
        for number, text in order:
            moving._on_record(sides[number], text)
        self.assertEqual(len(sides[0].sent), 1)
        return sides[1].sent

    def test_all_orders(self):
        source = [(0, text) for text in self.SOURCE]
        destination = [(1, text) for text in self.DESTINATION]
        for order in (source + destination, destination + source,
                      [source[0], *destination, source[1]]):
            self.assertEqual(self.typed(order),
                             [(mux.guest_channel(3), b"enough\n")])

    def test_of_several_lines_the_last_ones_are_for_the_last_moves(self):
        options = cli._parser().parse_args(
            ["migrate", "x", "--at", "mark", "--times", "3", "--then", "one",
             "--then", "two"])
        sides = [Machine(0, "source"), Machine(1, "destination")]
        moving = migrate.Migration(sides, Deaf(), None, options)
        moving._on_record(sides[0], "guest 0 name=web")
        for move in range(3):
            here, there = move % 2, 1 - move % 2
            for text in self.SOURCE:
                moving._on_record(sides[here], text)
            for text in ("arrived", f"guest {move + 1} name=web"):
                moving._on_record(sides[there], text)
            self.assertEqual(
                [data for side in sides for _, data in side.sent],
                [[], [b"one\n"], [b"one\n", b"two\n"]][move])


class Engine:
    """What building a machine asks of an engine."""

    NAME = EXIT = "bochs"

    def check(self, machine):
        pass


class Inside(unittest.TestCase):
    """Two Umbras in a third one."""

    def setUp(self):
        self.place = front.Place()
        self.addCleanup(self.place.close)

    def built(self, *words):
        options = cli._parser().parse_args(
            ["migrate", str(self.place.guest), "--inside", "--mem", "4M",
             "--set", f"host.image={self.place.image}",
             "--set", "umbra.loglevel=debug", "--set", "dirty=wp", *words])
        return inside.build(cli.collect_guests(options), options, Engine(),
                            str(self.place.path))

    def test_the_first_of_them_has_the_guest(self):
        machine = self.built("--append", "its words")
        strings = [module.string for module in machine.modules]
        self.assertEqual(len(strings), 3)
        for string in (strings[0], strings[2]):
            self.assertRegex(string, "^guest name=umbra.* connect=cable .*-- "
                             "console=mux exit=acpi link=virtio receive=on "
                             "loglevel=debug$")
        self.assertRegex(strings[1], "^module -- guest name=guest mem=4096K "
                         ".*dirty=wp.* -- its words$")
        self.assertEqual(machine.command_line, "console=mux exit=bochs")

    def test_the_second_one_has_the_guests_files_only_for_resets(self):
        machine = self.built("--set", "reset=restart", "--append", "its words")
        strings = [module.string for module in machine.modules]
        self.assertEqual(len(strings), 4)
        self.assertEqual(
            strings[1].replace("guest ", "guest start=reset ", 1), strings[3])
        self.assertEqual(len(self.built("--append", "reset=restart").modules),
                         3)

    def test_each_has_a_cpu_and_the_memory_that_a_machine_would_have(self):
        machine = self.built("--cpus", "2")
        self.assertEqual(machine.cpus, 4)
        self.assertIn("mem=81920K cpus=2", machine.modules[0].string)
        self.assertGreater(machine.memory, 2 * 80 << 20)
        self.assertEqual(self.built("--set", "host.cpus=1").cpus, 1)

    def test_their_lines_are_consoles_of_the_outer_one(self):
        outer = inside.Outer(None, None, None, ("source", "destination"))
        sent, got = [], []
        outer.side.send = lambda channel, data: sent.append((channel, data))
        for inner in outer.inners:
            inner._receive = lambda side, data: got.extend(
                (side.name, event) for event in side.decoder.feed(data))
        outer.inners[1].send(mux.MONITOR, b"status\n")
        self.assertEqual(sent, [(mux.guest_channel(1), b"\x1e@status\n")])
        outer._on_data(outer.side, b"\x1e!guest 0 name=umbra\n\x1eB\x1e\x1eA"
                       b"lap 1\n\x1e\x1e!waiting\n")
        self.assertEqual(got, [
            ("destination", mux.Text(mux.guest_channel(0), b"lap 1\n")),
            ("destination", mux.Record("waiting"))])


class Options(unittest.TestCase):
    def refused(self, *words):
        return cli.main(["migrate", "/dev/null", *words])

    def test_two_guests_are_refused(self):
        options = cli._parser().parse_args(
            ["migrate", "x", "--guest", "y"])
        with self.assertRaises(Trouble):
            migrate.migrate([1, 2], options, ".")

    def test_nonsense_is_refused(self):
        for words in (("--times", "0"), ("--link", "pigeon"), ("--at",),
                      ("--inside", "--link", "net"), ("--at", "")):
            self.assertEqual(self.refused(*words), 125)

    def test_words_that_are_this_commands_own_are_refused(self):
        for word in ("umbra.link=uart", "umbra.exit=stay", "umbra.console=com1",
                     "umbra.receive=off"):
            options = cli._parser().parse_args(["migrate", "x", "--set", word])
            with self.assertRaisesRegex(Trouble, "sets that itself"):
                migrate.migrate([1], options, ".")

    def test_report_that_cannot_be_written_is_said_before_all_else(self):
        options = cli._parser().parse_args(["migrate", "x", "--report", "/"])
        with self.assertRaisesRegex(Trouble, "--report: cannot write '/'"):
            migrate.migrate([1], options, ".")

    def test_report_is_no_file_before_there_is_one(self):
        place = front.Place()
        self.addCleanup(place.close)
        run.check_output("--report", str(place.path / "new"))
        self.assertFalse((place.path / "new").exists())


if __name__ == "__main__":
    unittest.main()
