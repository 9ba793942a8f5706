# SPDX-License-Identifier: MIT
"""NMIs of the machine, which the monitor's `nmi` sends: a CPU tells where it
is, whatever it does, and no guest, nor a guest's guest, notices."""

import re

from lib import Run, check, machine_test
from talk import MONITOR, QUIT

RING = ("build/guests/ring.elf", "--append", "mb=1 mark=0 laps=0",
        "--mem", "16M")
TWO_CPUS = ("--set", "host.cpus=2", "--set", "pin=1")


def asked(talk, cpu, times):
    """What it answers to `nmi CPU`, so often: place and calls."""
    answers, end = [], 0
    for _ in range(times):
        talk.type(f"nmi {cpu}\r")
        found = talk.expect(
            rf"^umbra: CPU {cpu} runs (.*)\n"
            r"((?:umbra: +\d+  0x[0-9a-f]+  \w+\+0.*\n)+)umbra> ", "err", end)
        answers.append(found.groups())
        end = found.end()
    return answers


def is_in(guest, answers):
    """It is met between two of its runs, too, but not often."""
    for place, _ in answers:
        check(place in (guest, "no guest"), f"it runs {place}")
    count = sum(place == guest for place, _ in answers)
    check(2 * count > len(answers), f"it runs {guest} {count} times only")


@machine_test(seconds=4)
def cpu_says_where_it_is(machine):
    with machine.talk(*RING, *TWO_CPUS) as talk:
        talk.expect("^RING base")
        talk.type(MONITOR)
        for place, calls in asked(talk, 0, 5):
            check(place == "no guest", f"CPU 0 runs {place}")
            for name in ("monitor_input", "sched_run", "boot_main"):
                check(f"  {name}+0x" in calls, f"{name} is not in it")
        is_in("guest ring, vCPU 0", asked(talk, 1, 10))
        talk.type("cpus\rnmi 2\rnmi\rnmi x\r")
        talk.said("^umbra: CPU 1: APIC id 1, running, NMIs: 10$")
        talk.type(QUIT)
        run = Run.of(talk)
    check(len(re.findall("^umbra: nmi CPU, one that runs", run.err,
                         re.MULTILINE)) == 3, "nonsense is not refused")


@machine_test(seconds=4)
def cpu_with_interrupts_off_answers(machine):
    """Its guest never lets Umbra in by itself."""
    with machine.talk("build/guests/faults.elf", "--append", "loop-off",
                      "--mem", "16M", *TWO_CPUS) as talk:
        talk.said("guest faults starts")
        talk.type(MONITOR)
        answers = asked(talk, 1, 10)
        is_in("guest faults, vCPU 0", answers)
        check(any("  on_exception_or_nmi+0x" in calls for _, calls in answers),
              "it was never in its guest")
        talk.type(QUIT)
        Run.of(talk)


@machine_test(seconds=6)
def guest_of_a_guest_does_not_notice(machine):
    """It looks at all of its memory after each lap, of which more follow."""
    with machine.talk("build/guests/l1ring.elf", "--append",
                      "mb=2 laps=0 nmi protect", "--mem", "32M",
                      *TWO_CPUS) as talk:
        talk.expect("^L1RING lap 2$")
        talk.type(MONITOR)
        is_in("guest l1ring, vCPU 0", asked(talk, 1, 40))
        check("L1RING lap" in talk.silence(2), "no lap follows")
        talk.type(QUIT)
        run = Run.of(talk)
    check("FAIL" not in run.out, "L2's memory is not as it should be")
    run.never_said("error:")
