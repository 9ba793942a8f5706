# SPDX-License-Identifier: MIT
"""A vCPU that writes faster than the link carries is slowed down, and nobody
else is: not another guest, and not another vCPU of the same.

Two of them share a CPU; the other CPU sends the guest. Time and progress are
the guests' own: laps per second of their TSC, before the migration and while
it throttles."""

import re
import sys

from lib import ROOT, check, machine_test

sys.path.insert(0, str(ROOT / "tools"))
# pylint: disable=wrong-import-position
from umbra import cli, machine as machines, migrate as migrations, mux

RING = "build/guests/ring.elf"
WORK = "mb=1 laps=0 mark=20 clock=1"
LAP = re.compile(r"^RING lap (\d+) at (\d+) us$", re.MULTILINE)
LOOK = re.compile(r"^RING look (\d+) at (\d+) us$", re.MULTILINE)
THROTTLED = 80  # percent
ENOUGH = 8  # marks of the slow one, and the migration is called off


class Watched(migrations.Migration):
    """Guest 0 goes, guest 1 stays; what both print is kept, by whether the
    migration has begun, throttles or is over."""

    printed = {}  # (guest, when): text
    most = 0
    when = "before"
    cancelled = False
    result = None

    @staticmethod
    def forget():
        Watched.printed, Watched.most, Watched.when = {}, 0, "before"
        Watched.cancelled, Watched.result = False, None

    def _on_record(self, side, text):
        if text.startswith("guest 1 "):
            return  # it stays where it is
        super()._on_record(side, text)
        if text.startswith("migration "):
            percent = int(re.search(r"throttle=(\d+)", text)[1])
            Watched.most = max(self.most, percent)
            if percent >= THROTTLED:
                Watched.when = "throttled"
            elif self.when == "before":
                Watched.when = "begun"
        elif text.startswith("migrated "):
            Watched.when = "over"

    def _on_data(self, side, data):
        view = self._view

        class Seen:
            """Hears what the guests print, in the order of the records."""

            def guest(self, side, event):
                key = (event.channel - mux.guest_channel(0), Watched.when)
                Watched.printed[key] = (Watched.printed.get(key, "")
                                        + event.data.decode())
                view.guest(side, event)

            def __getattr__(self, name):
                return getattr(view, name)

        self._view = Seen()
        super()._on_data(side, data)
        self._view = view
        if (Watched.when == "throttled" and not self.cancelled
                and len(marks_of(0, "throttled")) >= ENOUGH):
            Watched.cancelled = True
            self._sides[0].send(mux.MONITOR, b"cancel\n")

    def _end_one(self, downtime):
        super()._end_one(downtime)
        Watched.result = self.results[-1]["result"]
        self._keyboard.quit = True


def marks_of(guest, when, mark=LAP):
    text = Watched.printed.get((guest, when), "").replace("\r", "")
    return [(int(lap), int(us)) for lap, us in mark.findall(text)]


def laps_per_second(guest, when, mark=LAP):
    """From its first mark to its last, of those that it made then."""
    marks = marks_of(guest, when, mark)
    check(len(marks) >= 4, f"guest {guest} made {len(marks)} marks {when}")
    (first, start), (last, end) = marks[0], marks[-1]
    return (last - first) * 1e6 / (end - start)


def migrate_slowly(machine, work, neighbours, *options):
    """Called off once it has been throttled for a while."""
    joined = migrations._joined  # pylint: disable=protected-access

    def with_neighbours(guests, *rest):
        return joined([*guests, *neighbours], *rest)

    Watched.forget()
    kept = migrations.Migration
    migrations.Migration, migrations._joined = Watched, with_neighbours
    try:
        cli.main([
            "migrate", RING, "--engine", "bochs", "--append", work, "--mem",
            "4M", "--link", "net", "--at", "RING lap 600 ", "--set", "pin=1",
            "--set", "host.cpus=2", "--set", "host.ips=20000000", "--set",
            "downtime=1ms", "--set", "audit=off", "--set", "compress=off",
            *options, "--timeout", str(machine.seconds_left())])
    finally:
        migrations.Migration, migrations._joined = kept, joined
    check(Watched.result == "failed" and Watched.most >= THROTTLED,
          f"it has {Watched.result}, throttled by {Watched.most} % at most")


def only_the_writer_is_slowed(writer, other):
    """Each a guest and its kind of mark. What the writer does without, the
    other one may have."""
    before, throttled = ([laps_per_second(guest, when, mark)
                          for guest, mark in (writer, other)]
                         for when in ("before", "throttled"))
    print(f"laps per second: {before} before, {throttled} while throttled")
    check(throttled[0] <= 0.5 * before[0],
          f"the writer made {throttled[0]} laps/s, {before[0]} before")
    check(throttled[1] >= 1.2 * before[1],
          f"the other one made {throttled[1]} laps/s, {before[1]} before")
    return before


@machine_test(seconds=15, limit=200)
def guest_that_writes_too_fast_is_slowed_and_no_other(machine):
    migrate_slowly(machine, WORK, [machines.Guest(RING, WORK)])
    before = only_the_writer_is_slowed((0, LAP), (1, LAP))
    check(min(before) >= 0.8 * max(before), f"no fair shares: {before}")


@machine_test(seconds=15, limit=200)
def vcpu_that_writes_too_fast_is_slowed_and_no_other(machine):
    migrate_slowly(machine, f"{WORK} look=1", [], "--cpus", "2")
    only_the_writer_is_slowed((0, LAP), (0, LOOK))
