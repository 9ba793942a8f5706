# SPDX-License-Identifier: MIT
"""A guest moves from one machine to another while it works: its memory is
complete there, whatever the link and the number of CPUs."""

import json
import re
import sys
import time
from unittest import mock

from lib import ROOT, check, machine_test

sys.path.insert(0, str(ROOT / "tools"))
# pylint: disable=wrong-import-position
from umbra import cli, machine as machines, migrate as migrations, mux

RING = "build/guests/ring.elf"
L1RING = "build/guests/l1ring.elf"


def migrate(machine, guest, *options):
    return machine.umbra("migrate", guest, "--engine", machine.engine_name(),
                         "--timeout", str(machine.seconds_left()), *options)


def ring(machine, cpus, laps, *options):
    """The ring guest, moved in the middle of its work, with audit. How long it
    stands still is in the time of an emulator that waits."""
    run = migrate(machine, RING, "--append",
                  f"mb=1 mark=0 laps={laps} cpus={cpus}", "--mem", "4M",
                  "--cpus", cpus, "--at", "0.3", "--set",
                  "host.ips=20000000", "--set", "downtime=200s", *options)
    run.ended_with(1)
    run.guest_verdict()
    return run


def moved(run, times=1, guest="ring"):
    check(run.err.count("umbra: migration moved:") == times,
          f"it was not moved {times} times")
    run.said(r"^umbra: audit full: \d+ groups of pages are the same$")
    run.said(f"destination: umbra: migration: guest {guest} is here")


@machine_test(seconds=6, limit=100)
def ring_moves_over_the_network(machine):
    moved(ring(machine, 1, 20000, "--link", "net"))


@machine_test(seconds=8, limit=100)
def ring_on_two_cpus_moves_over_the_network(machine):
    moved(ring(machine, 2, 20000, "--link", "net"))


@machine_test(seconds=15, limit=200)
def ring_moves_over_the_serial_line(machine):
    # The slower the CPU, the faster beside it is the line.
    moved(ring(machine, 1, 20000, "--link", "uart", "--set",
               "host.ips=1000000", "--set", "downtime=2000s"))


def hypervisor_moves(machine, times, words, *options):
    run = migrate(machine, L1RING, "--append", f"mb=1 mark=0 {words}", "--mem",
                  "4M", "--link", "net", "--at", "0.3", "--times", times,
                  "--set", "host.ips=20000000", "--set", "downtime=200s",
                  *options)
    run.ended_with(1)
    run.guest_verdict()
    moved(run, times=times, guest="l1ring")


@machine_test(seconds=10, limit=150)
def hypervisor_moves_with_its_guest(machine):
    """And with another one, whose VMCS is active and not current."""
    hypervisor_moves(machine, 1, "laps=4000 switch")


@machine_test(seconds=20, limit=300)
def hypervisor_moves_in_the_middle_of_its_guest(machine):
    """Between two exits of L2 to L1 lie a thousand times as many instructions
    as L1 has there: it is stopped in L2."""
    hypervisor_moves(machine, 3, "laps=400 step=200")


@machine_test(seconds=15, limit=250)
def hypervisor_moves_whose_guest_has_no_ept(machine):
    hypervisor_moves(machine, 2, "laps=400 step=200 ept=0 cpus=2", "--cpus",
                     "2")


@machine_test(seconds=15, limit=250)
def hypervisor_moves_that_logs_what_its_guest_writes(machine):
    hypervisor_moves(machine, 2, "laps=300 step=200 pml inject timer")


@machine_test(seconds=10, limit=150)
def hypervisor_moves_while_the_cpu_logs_its_guest(machine):
    """By L2's addresses, which Umbra translates."""
    run = migrate(machine, L1RING, "--append",
                  "mb=1 mark=0 laps=400 step=200 ad", "--mem", "4M", "--link",
                  "net", "--at", "0.3", "--json", "--set", "host.ips=20000000",
                  "--set", "downtime=200s", "--set", "dirty.l2=translate")
    run.ended_with(1)
    result = json.loads(run.out)["migrations"][0]
    check(result["result"] == "moved" and result["audit"] == "full",
          f"it says {result}")
    last = result["each_round"][-1]
    check(last["l2_logged"] >= 100 and not last["l2_faults"],
          f"writes were found so: {last}")


@machine_test(seconds=15, limit=200)
def hypervisor_moves_without_the_address_of_its_enlightened_vmcs(machine):
    """Which L2 has hidden. What a record leaves out is the guest's setting,
    also where it has no loop of records."""
    def moves(least):
        return migrate(
            machine, "build/guests/l1evmcs.elf", "--append", "hide n=4000000",
            "--mem", "64M", "--link", "net", "--at", "0.3", "--set",
            "hyperv=on", "--set", "host.ips=20000000", "--set",
            "downtime=200s", "--set", f"record.least={least}")

    run = moves("off")
    run.ended_with(1)
    moved(run, guest="l1evmcs")
    run = moves("on")
    run.ended_with(126)
    run.said("its enlightened VMCS is not where its VP-assist page says")


@machine_test(seconds=30, limit=250)
def demo_shows_a_hypervisor_that_moves_with_its_guest(machine):
    page = machine.folder / "demo.html"
    run = machine.umbra("demo", "--report", page)
    verdict = run.printed(r"^VERDICT: (.*)$").group(1)
    check(verdict.startswith("L1 and its L2 moved in "), verdict)
    run.ended_with(0)
    run.printed("not one page was lost")
    # The verdict says whether it is few enough times.
    run.printed(r"^ +\d\.\d\d  times what the link needs; at most 1\.3$")
    drawn = page.read_text(encoding="utf-8")
    check("source: L2" in drawn and "destination: L2" in drawn,
          "the report does not show L2 on both machines")


@machine_test(seconds=25, limit=200)
def ring_goes_there_and_back_again(machine):
    run = ring(machine, 2, 30000, "--link", "net", "--times", "3")
    moved(run, times=3)


@machine_test(seconds=6, limit=100)
def figures_are_given_to_machines(machine):
    run = migrate(machine, RING, "--append", "mb=1 mark=0 laps=30000", "--mem",
                  "4M", "--link", "net", "--at", "0.3", "--json", "--set",
                  "host.ips=20000000", "--set", "downtime=30s", "--set",
                  "audit=off")
    run.ended_with(1)
    told = json.loads(run.out)
    result = told["migrations"][0]
    check(told["status"] == 1 and result["result"] == "moved"
          and result["audit"] == "off", f"it says {told}")
    # Pages are worth their bytes on the wire.
    check(result["bytes"] < 1.02 * 4096 * result["raw"] + 20000,
          f"{result['bytes']} bytes for {result['raw']} pages")


@machine_test(seconds=6, limit=100)
def audit_of_what_was_sent_leaves_the_rest_out(machine):
    # Of 16 MiB, which are 64 groups, the guest uses a few.
    run = migrate(machine, RING, "--append", "mb=1 mark=0 laps=30000", "--mem",
                  "16M", "--link", "net", "--at", "0.3", "--set",
                  "host.ips=20000000", "--set", "downtime=200s", "--set",
                  "audit=sent")
    run.ended_with(1)
    run.guest_verdict()
    groups = int(run.said(r"^umbra: audit sent: in (\d+) groups the pages that "
                          "had contents are the same$").group(1))
    check(4 <= groups <= 24, f"{groups} groups were compared")


@machine_test(seconds=8, limit=100)
def what_has_changed_is_all_that_is_sent_again(machine):
    # Its pages cannot be compressed, and change in one byte.
    run = migrate(machine, RING, "--append", "mb=1 noise=1 mark=0 laps=30000",
                  "--mem", "4M", "--link", "net", "--at", "0.3", "--json",
                  "--set", "host.ips=20000000", "--set", "downtime=200s")
    run.ended_with(1)
    result = json.loads(run.out)["migrations"][0]
    deltas = result["delta"]
    check(result["result"] == "moved" and deltas >= 200, f"it says {result}")
    # Each round's finds are of the way in which this CPU logs: PML.
    last = result["each_round"][-1]
    check(last["logged"] >= 200 and not last["faults"]
          and not last["l2_faults"], f"writes were found so: {last}")
    check(result["bytes"] < 1.02 * 4096 * (result["raw"] - deltas)
          + 100 * deltas + 20000,
          f"{result['bytes']} bytes for {result['raw']} pages, of which "
          f"{deltas} are what has changed")


@machine_test(seconds=6, limit=100)
def guest_that_ends_too_early_is_said(machine):
    run = migrate(machine, RING, "--append", "mb=1 laps=10", "--mem", "4M",
                  "--link", "net", "--at", "no such mark")
    run.ended_with(125)
    run.said("^umbra: the guest ended and had not printed 'no such mark'; "
             "choose another --at$")


@machine_test(engine="qemu", seconds=4, limit=60)
def guest_that_has_not_started_moves_without_vmx(machine):
    run = migrate(machine, RING, "--append", "mb=1", "--mem", "32M", "--link",
                  "virtio", "--set", "start=no", "--at", "0.2")
    run.ended_with(0)
    run.said("^umbra: migration moved: ")
    run.said(r"^umbra: audit full: \d+ groups of pages are the same$")
    run.said("destination: umbra: error: guests cannot run: this CPU has no")


@machine_test(engine="qemu", seconds=4, limit=60)
def move_that_cannot_begin_is_over(machine):
    run = migrate(machine, RING, "--append", "mb=1", "--mem", "8M", "--link",
                  "virtio", "--set", "start=no", "--set", "audit=some", "--at",
                  "0.2")
    run.ended_with(125)
    run.said('source: umbra: error: migration: "audit=some": it can be ')
    run.never_said("earlier --at")


def make_module(machine, megabytes):
    """A file whose pages are all different, and none of them zero."""
    path = machine.folder / "module"
    with open(path, "wb") as file:
        for page in range(megabytes << 8):
            file.write((page + 1).to_bytes(8, "little") * 512)
    return str(path)


@machine_test(engine="qemu", seconds=6, limit=60)
def pages_go_from_where_they_lie(machine):
    run = migrate(machine, RING, "--append", "mb=1", "--module",
                  make_module(machine, 16), "--mem", "64M", "--link", "virtio",
                  "--set", "start=no", "--set", "compress=off", "--at", "0.2",
                  "--json")
    run.ended_with(0)
    result = json.loads(run.out)["migrations"][0]
    check(result["result"] == "moved" and result["audit"] == "full"
          and result["groups"] == 256, f"it says {result}")
    check(result["lent"] == result["raw"] >= 16 << 8,
          f"{result['lent']} of {result['raw']} pages were not copied")
    check(result["bytes"] < 1.02 * 4096 * result["raw"] + 20000,
          f"{result['bytes']} bytes for {result['raw']} pages")


class Hung(migrations.Migration):
    """The destination stands still in the middle, for longer than the source
    waits for it and for its link, and then goes on."""

    wakes = None
    is_hung = False
    ends = []

    def _on_record(self, side, text):
        super()._on_record(side, text)
        sent = re.search(r"^migration round=0 .* sent=(\d+)", text)
        if sent and int(sent[1]) > 100000 and not self.is_hung:
            self.is_hung = True
            self._sides[1].stand_still()

    def _end_one(self, downtime):
        super()._end_one(downtime)
        self.ends.append(self.results[-1]["result"])
        if self.ends == ["failed"]:
            self.failed = False
            self.results.clear()
            self.wakes = time.monotonic() + 8
            self._at = 12.0
            self._arm()

    def _begin_when_due(self):
        if self.wakes and time.monotonic() > self.wakes:
            self.wakes = None
            self._sides[1].go_on()
        super()._begin_when_due()


@machine_test(engine="qemu", seconds=20, limit=100)
def what_a_hung_link_was_lent_is_taken_back(machine):
    log = machine.folder / "log"
    kept, migrations.Migration = migrations.Migration, Hung
    try:
        status = cli.main([
            "migrate", RING, "--engine", "qemu", "--append", "mb=1",
            "--module", make_module(machine, 32), "--mem", "64M", "--link",
            "virtio", "--set", "start=no", "--set", "compress=off", "--set",
            "umbra.link.silence=2", "--at", "0.2", "--log", str(log),
            "--timeout", str(machine.seconds_left())])
    finally:
        migrations.Migration = kept
    text = log.read_text(encoding="utf-8", errors="replace")
    check(Hung.ends == ["failed", "moved"], f"the attempts ended {Hung.ends}")
    check("ring stays here: the peer has been silent for" in text,
          "the source does not say why the guest stays")
    check("link virtio: the memory that it was lent is taken back" in text,
          "what was lent was not taken back")
    check(status == 0, f"status {status}")


RESETS = ("--append", "mb=1 mark=0 laps=8000 reset=1", "--mem", "4M", "--link",
          "net", "--at", "0.3", "--set", "host.ips=20000000", "--set",
          "downtime=200s")


def reset_after_the_move(machine, *options):
    run = migrate(machine, RING, *RESETS, *options)
    run.printed("RING resets")
    moved(run)
    return run


@machine_test(seconds=7, limit=100)
def reset_after_the_move_ends_the_guest(machine):
    run = reset_after_the_move(machine)
    run.ended_with(0)
    run.said("destination: umbra: guest ring has ended: it asked for a reset")


@machine_test(seconds=7, limit=100)
def guest_begins_anew_where_it_has_moved_to(machine):
    run = reset_after_the_move(machine, "--set", "reset=restart")
    run.ended_with(1)
    run.said("destination: umbra: guest ring resets$")
    run.said("destination: umbra: guest ring has ended: it wrote to port")
    check(len(re.findall("^RING resets", run.out, re.MULTILINE)) == 1,
          "it resets again")


@machine_test(seconds=10, limit=100)
def guest_begins_anew_where_it_comes_back_to(machine):
    """With the files that it was started from there. It works for so long
    that it has come back before its reset also on a fast host."""
    run = migrate(machine, RING, *RESETS, "--append",
                  "mb=1 mark=0 laps=24000 reset=1", "--times", "2", "--set",
                  "reset=restart")
    moved(run, times=2)
    run.ended_with(1)
    run.said("source: umbra: guest ring resets$")


@machine_test(seconds=7, limit=100)
def guest_that_cannot_begin_anew_after_the_move_is_said(machine):
    """What the destination has begins another guest: its command line is not
    the same."""
    def another(modules):
        return [machines.Module(module.path,
                                module.string.replace("guest ",
                                                      "guest start=reset ") +
                                " more") for module in modules]

    log = machine.folder / "log"
    with mock.patch.object(machines, "for_resets", another):
        status = cli.main([
            "migrate", RING, "--engine", "bochs", *RESETS, "--set",
            "reset=restart", "--log", str(log), "--timeout",
            str(machine.seconds_left())])
    check(status == 126, f"status {status}: it has begun anew")
    text = log.read_text(encoding="utf-8", errors="replace")
    check("guest ring asks for a reset, which is to begin anew "
          "(reset=restart). Its kernel did not move here with it, so it ends."
          in text, "it does not say why it ends")


class Cancelled(migrations.Migration):
    """The first attempt is called off while pages are under way; the second
    one has to find everything."""

    ends = []

    def _on_record(self, side, text):
        super()._on_record(side, text)
        if text.startswith("migration round=0") and not self.ends:
            side.send(mux.MONITOR, b"cancel\n")

    def _end_one(self, downtime):
        super()._end_one(downtime)
        self.ends.append(self.results[-1]["result"])
        if self.ends == ["failed"]:
            self.failed = False
            self.results.clear()
            self._arm()


@machine_test(seconds=12, limit=150)
def cancelled_guest_goes_on_and_moves_later(machine):
    kept, migrations.Migration = migrations.Migration, Cancelled
    try:
        status = cli.main([
            "migrate", RING, "--engine", "bochs", "--append",
            "mb=1 mark=0 laps=12000 cpus=2", "--cpus", "2", "--mem", "4M",
            "--link", "net", "--at", "0.3", "--set", "host.ips=20000000",
            "--set", "downtime=200s", "--timeout",
            str(machine.seconds_left())])
    finally:
        migrations.Migration = kept
    check(Cancelled.ends == ["failed", "moved"],
          f"the attempts ended {Cancelled.ends}")
    check(status == 1, f"status {status}: the ring is broken")


class Unconfirmed(migrations.Migration):
    """The link is lost at the hand-over. The source, which cannot know who has
    the guest, says what can be done; the test is the person who decides. The
    machines come from here, because the front end leaves none behind."""

    decision = ""
    sides = None
    ends = []

    def _on_record(self, side, text):
        super()._on_record(side, text)
        self.sides[:] = self._sides

    def _end_one(self, downtime):
        super()._end_one(downtime)
        self.ends.append(self.results[-1]["result"])
        if self.ends != ["unconfirmed"]:
            return
        source = self._sides[0]
        source.send(mux.MONITOR, b"status\n" + self.decision + b"\nstatus\n")
        if self.decision == b"resume":  # and then it moves after all
            self.failed = False
            self.results.clear()
            self._arm()


def unconfirmed(machine, cut, decision):
    """Runs a migration whose link is lost instead of that record."""
    log = machine.folder / "log"
    kept, migrations.Migration = migrations.Migration, Unconfirmed
    Unconfirmed.decision, Unconfirmed.sides = decision, []
    try:
        status = cli.main([
            "migrate", RING, "--engine", "bochs", "--append",
            "mb=1 mark=0 laps=12000", "--mem", "4M", "--link", "net", "--at",
            "0.3", "--set", "host.ips=20000000", "--set", "downtime=200s",
            "--set", f"umbra.link.cut={cut}", "--log", str(log), "--timeout",
            str(machine.seconds_left())])
    finally:
        migrations.Migration = kept
    return status, log.read_text(encoding="utf-8", errors="replace")


HANDED_OVER = ('guest ring was handed over and is stopped; "destroy" it if it '
               'runs at the peer, "resume" it if it does not')
ADVICE = "ring was handed over, but the peer has not said that it runs: "


@machine_test(seconds=12, limit=150)
def guest_whose_hand_over_was_lost_is_resumed_by_hand(machine):
    status, log = unconfirmed(machine, "commit", b"resume")
    check(ADVICE in log and HANDED_OVER in log, "it does not say what to do")
    check("guest ring goes on here, because you say so" in log,
          "the decision was not heard")
    check(Unconfirmed.ends == ["unconfirmed", "moved"],
          f"the attempts ended {Unconfirmed.ends}")
    check(status == 1, f"status {status}: the ring is broken")


@machine_test(seconds=10, limit=150)
def guest_that_has_arrived_unheard_is_destroyed_by_hand(machine):
    status, log = unconfirmed(machine, "running", b"destroy")
    check(ADVICE in log and HANDED_OVER in log, "it does not say what to do")
    check("guest ring is destroyed here, because you say so" in log
          and log.count("nothing is under way") == 1,
          "the decision was not heard")
    check(Unconfirmed.ends == ["unconfirmed"] and status == 125,
          f"the attempts ended {Unconfirmed.ends}, status {status}")
    source, destination = Unconfirmed.sides
    check(destination.verdict == 1, "the guest's ring is broken there")
    check(source.verdict is None or source.verdict == 0,
          f"the source ended with {source.verdict}")


class Killed(migrations.Migration):
    """The destination dies in the middle; the source must notice by itself."""

    sides = None
    ends = []

    def _on_record(self, side, text):
        super()._on_record(side, text)
        if text.startswith("migration round=0") and not Killed.sides:
            Killed.sides = self._sides
            self._sides[1].child.kill()

    def _end_one(self, downtime):
        super()._end_one(downtime)
        self.ends.append(self.results[-1]["result"])


@machine_test(seconds=20, limit=150)
def guest_goes_on_when_the_destination_dies(machine):
    kept, migrations.Migration = migrations.Migration, Killed
    try:
        status = cli.main([
            "migrate", RING, "--engine", "bochs", "--append",
            "mb=1 mark=0 laps=20000", "--mem", "4M", "--link", "net", "--at",
            "0.5", "--set", "host.ips=20000000", "--set",
            "host.sync=slowdown", "--set", "umbra.link.silence=4", "--timeout",
            str(machine.seconds_left())])
    finally:
        migrations.Migration = kept
    check(Killed.ends == ["failed"], f"the attempt ended {Killed.ends}")
    check(status == 125, f"status {status}, and nothing was moved")
    check(Killed.sides[0].verdict == 1, "the guest's ring is broken")
