# SPDX-License-Identifier: MIT
"""Guests that do what a guest should not (guests/faults.c): each ends as it
must, and Umbra goes on. They run many at a time; every one of them would show
in the others if it reached beyond itself."""

import re

from lib import Run, check, machine_test
from talk import MONITOR, QUIT

FAULTS = "build/guests/faults.elf"
HELLO = "build/guests/hello.elf"
PASSES = "RESULT PASS [1-9]"


def side_by_side(words):
    """The options for one guest per command line, and for one that is well."""
    options = ["--append", words[0]]
    for word in words[1:]:
        options += ["--guest", f"{FAULTS}:{word}"]
    return [*options, "--guest", HELLO, "--mem", "8M", "--set",
            "host.ips=20000000"]


def name_of(words, word):
    """What the front end calls the guest that has this command line."""
    index = words.index(word)
    return "faults" if index == 0 else f"faults-{index + 1}"


# What Umbra says of a guest that is lost.
LOST = {
    "triple": "triple fault",
    "cr3": "its page tables are at 0xf0000000, where it has no memory",
    "jump-outside": "it runs code at 0xf0000000, where it has no memory",
    "tables-outside":
        "its page tables are at 0xf0000000, where it has no memory",
    "sse-outside":
        "it accesses a device by an instruction that Umbra does not emulate; "
        "its bytes are 0f 13 ",
}


def is_dumped(run, name):
    """The registers stand behind the reason, up to the last line."""
    found = re.search(rf"^umbra: error: guest {name}, vCPU 0, is stopped.*\n"
                      r"((?:umbra: error:   .*\n)+)", run.err, re.MULTILINE)
    check(found, f"no dump of {name}")
    for register in ("RIP=", "RAX=", "R15=", "CR0=", "CR3=", "CR4=", "EFER=",
                     "CS ", "SS ", "TR ", "LDTR", "GDTR", "IDTR"):
        check(register in found[1], f"the dump of {name} has no {register}")


@machine_test(seconds=4)
def lost_guests_are_stopped_with_reason_and_dump(machine):
    words = list(LOST)
    run = machine.run(FAULTS, *side_by_side(words))
    run.ended_with(126)
    run.printed(rf"^hello\| {PASSES}")
    run.said(r"guest hello has ended.* status 1$")
    for word, reason in LOST.items():
        name = name_of(words, word)
        run.printed(rf"^{name}\| faults: {word}$")
        run.said(rf"guest {name}, vCPU 0, is stopped: {reason}")
        run.said(rf"guest {name} has ended.* status 126$")
        is_dumped(run, name)


@machine_test(seconds=2)
def guest_lost_alone_ends_the_run(machine):
    run = machine.run(FAULTS, "--append", "triple", "--mem", "8M")
    run.ended_with(126)
    run.said("guest faults, vCPU 0, is stopped: triple fault$")
    is_dumped(run, "faults")


SURVIVED = ("port", "ports", "msr", "msrs", "state", "vmx", "read-outside",
            "write-outside", "cpuid-storm", "string-storm", "msr-storm",
            "cr-storm", "interrupt-storm", "nmi-storm", "timer-storm")


@machine_test(seconds=2)
def sse_registers_reach_devices(machine):
    run = machine.run(FAULTS, "--append", "sse-device", "--mem", "8M")
    run.ended_with(1)
    run.printed(PASSES)


@machine_test(seconds=6)
def machine_bears_what_it_must(machine):
    words = [f"{word} n=2000" for word in SURVIVED]
    run = machine.run(FAULTS, *side_by_side(words))
    run.ended_with(1)
    run.printed(rf"^hello\| {PASSES}")
    for word in words:
        run.said(rf"guest {name_of(words, word)} has ended.* status 1$")
    run.never_said("is stopped")


ENDLESS = ("loop", "loop-off", "ud-loop", "pf-loop", "db-storm", "ac-storm",
           "halt")


@machine_test(seconds=4)
def endless_guests_leave_the_cpu_to_others(machine):
    """All on one CPU; the monitor answers, too."""
    with machine.talk(FAULTS, *side_by_side(ENDLESS)) as talk:
        talk.expect(rf"^hello\| {PASSES}")
        for word in ENDLESS:
            talk.expect(rf"^{name_of(ENDLESS, word)}\| faults: {word}$")
        talk.type(f"{MONITOR}guests\r")
        for word in ENDLESS:
            talk.said(rf"guest \d+, {name_of(ENDLESS, word)}: 8 MiB, running$")
        talk.said("hello: 8 MiB, ended$")
        talk.type(QUIT)
        run = Run.of(talk)
    run.never_said("is stopped")


@machine_test(seconds=4)
def slow_line_brings_all_that_an_endless_guest_has_said(machine):
    """The line takes thousands of instructions for a byte: most of it waits
    in Umbra's ring, for an interrupt."""
    with machine.talk(FAULTS, "--append", "loop", "--mem", "8M", "--set",
                      "host.ips=50000000") as talk:
        talk.expect("^faults: loop$")
        talk.type(QUIT)
        run = Run.of(talk)
    run.never_said("is stopped")


@machine_test(seconds=4)
def endless_guest_runs_into_the_timeout(machine):
    run = machine.run(FAULTS, "--append", "loop", "--mem", "8M", "--timeout",
                      "3")
    run.ended_with(124)
    run.said(r"no end after 3 s \(--timeout\)")


EXITS = ("exit8", "exit16", "exit32", "exit-string")


@machine_test(seconds=2)
def exit_port_takes_every_width(machine):
    words = [f"{word} exit=7" for word in EXITS]
    run = machine.run(FAULTS, *side_by_side(words))
    run.ended_with(7 << 1 | 1)
    for word in words:
        run.said(rf"guest {name_of(words, word)} has ended: it wrote to port "
                 "0xf4; status 15$")


@machine_test(seconds=2)
def guest_that_fails_by_itself_has_its_own_status(machine):
    run = machine.run(FAULTS, "--append", "jump-unmapped", "--mem", "8M")
    run.ended_with(3 << 1 | 1)
    run.printed("^RESULT FAIL unexpected exception$")
    run.never_said("is stopped")
