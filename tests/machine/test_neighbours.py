# SPDX-License-Identifier: MIT
"""Guests that share a CPU: each gets its share, whatever the others do.

Time is the guests' own, counted since they were made: the emulated machine's,
the same on every host."""

import re

from lib import check, machine_test
from talk import QUIT

RING = "build/guests/ring.elf"
FAULTS = "build/guests/faults.elf"
WORK = "mb=1 mark=0 laps=2000"
#: At 20 MHz, so that a slice is long for what a switch costs.
MACHINE = ("--mem", "4M", "--set", "host.ips=20000000")
ENDED = r"RING ended after (\d+) us$"

#: A share may be missed by so much: slices of 10 ms, and what Umbra takes.
TOLERANCE = 0.2


def alone(machine):
    """How long the work takes on a CPU of its own."""
    run = machine.run(RING, "--append", WORK, *MACHINE)
    run.ended_with(1)
    return int(run.printed(f"^{ENDED}")[1])


def share_fairly(machine, guests, cpus):
    """All end at about the same time, and that is as early as can be."""
    single = alone(machine)
    more = [word for _ in range(guests - 1)
            for word in ("--guest", f"{RING}:{WORK}")]
    run = machine.run(RING, "--append", WORK, *more, *MACHINE, "--set",
                      f"host.cpus={cpus}")
    run.ended_with(1)
    times = [int(time) for time in
             re.findall(rf"\| {ENDED}", run.out, re.MULTILINE)]
    print(f"alone {single} us, side by side {times} us")
    check(len(times) == guests, "not all have ended")
    check(max(times) <= min(times) * (1 + TOLERANCE),
          f"they end after {times} us")
    limit = guests / cpus * single * (1 + TOLERANCE)
    check(max(times) <= limit, f"{max(times)} us is more than {limit} us")


@machine_test(seconds=6)
def two_guests_that_spin_share_a_cpu_fairly(machine):
    share_fairly(machine, guests=2, cpus=1)


@machine_test(seconds=8)
def three_guests_that_spin_share_two_cpus_fairly(machine):
    share_fairly(machine, guests=3, cpus=2)


@machine_test(seconds=8)
def eight_guests_that_spin_share_two_cpus_fairly(machine):
    share_fairly(machine, guests=8, cpus=2)


def keeps_its_share(machine, *misdeeds):
    """A working guest on one CPU with guests that misbehave for ever."""
    single = alone(machine)
    words = ["--append", WORK]
    for misdeed in misdeeds:
        words += ["--guest", f"{FAULTS}:{misdeed}"]
    with machine.talk(RING, *words, *MACHINE) as talk:
        time = int(talk.expect(rf"^ring\| {ENDED}")[1])
        talk.expect(r"^ring\| RESULT PASS 1/1$")
        talk.type(QUIT)
        talk.end()
    print(f"alone {single} us, beside {misdeeds} {time} us")
    share = len(misdeeds) + 1
    check(time <= share * single * (1 + TOLERANCE),
          f"{time} us is more than {share} times {single} us")
    return single, time


@machine_test(seconds=4)
def guest_that_never_exits_takes_no_more_than_its_share(machine):
    single, time = keeps_its_share(machine, "loop-off")
    # The other one has a share, too: it is not simply never run.
    check(time >= 2 * single * (1 - TOLERANCE),
          f"{time} us: the other guest had nothing")


@machine_test(seconds=6)
def storms_take_no_more_than_their_share(machine):
    keeps_its_share(machine, "port-storm n=1000000000",
                    "interrupt-storm n=1000000000",
                    "timer-storm n=1000000000", "cpuid-storm n=1000000000")


@machine_test(seconds=4)
def guest_that_is_lost_leaves_its_share(machine):
    single = alone(machine)
    run = machine.run(RING, "--append", WORK, "--guest", f"{FAULTS}:triple",
                      *MACHINE)
    run.ended_with(126)
    run.printed(r"^ring\| RESULT PASS 1/1$")
    time = int(run.printed(rf"^ring\| {ENDED}")[1])
    check(time <= single * (1 + TOLERANCE),
          f"{time} us beside a dead guest, {single} us alone")


@machine_test(seconds=6)
def pinned_guests_stay_on_their_cpu(machine):
    """Both have the second CPU; the first has nothing to do."""
    single = alone(machine)
    run = machine.run(RING, "--append", WORK, "--guest",
                      f"{RING}:{WORK}", *MACHINE, "--set", "host.cpus=2",
                      "--set", "pin=1")
    run.ended_with(1)
    times = [int(time) for time in
             re.findall(rf"\| {ENDED}", run.out, re.MULTILINE)]
    print(f"alone {single} us, pinned to one CPU {times} us")
    check(len(times) == 2, "not all have ended")
    check(min(times) >= 2 * single * (1 - TOLERANCE),
          f"{times} us: they had more than one CPU")


@machine_test(seconds=2)
def bad_pin_is_explained(machine):
    run = machine.run(RING, "--append", WORK, "--set", "pin=0,7", *MACHINE)
    run.ended_with(125)
    run.said('guest ring: pin=0,7: CPUs below 1 are wanted, as in "0,1"')


@machine_test(seconds=4)
def vcpu_that_spins_lets_the_other_run(machine):
    """Two vCPUs on one CPU, where one waits for the other in a loop of PAUSEs:
    that takes no slice of 10 ms, which is 200,000 ticks here."""
    run = machine.run("build/guests/ticks.elf", "--append", "n=10", "--cpus",
                      "2", "--mem", "16M", "--set", "host.cpus=1", "--set",
                      "host.ips=20000000")
    ticks = float(run.printed(r"^ticks ipi (\d+\.\d)")[1])
    check(ticks < 50000, f"{ticks} ticks until it has answered")
