# SPDX-License-Identifier: MIT
"""A fault of Umbra's own, made on purpose by the monitor's `crash`: what is
shown, that it stops everything, and that the guards are where they must be."""

from lib import Run, check, machine_test
from talk import MONITOR

ENDLESS = ("build/guests/faults.elf", "--append", "loop-off", "--mem", "16M")


def crashes(machine, how, *options):
    """The run in which `crash HOW` was typed."""
    with machine.talk(*ENDLESS, *options) as talk:
        talk.said("guest faults starts")
        talk.type(f"{MONITOR}crash {how}\r")
        run = Run.of(talk)
    run.ended_with(125)
    run.said("^umbra: error: Umbra stops. All guests are lost")
    run.said(r"^umbra: error: +\d+  0x[0-9a-f]+  monitor_input\+0x")
    run.said(r"^umbra: error: +\d+  0x[0-9a-f]+  boot_main\+0x")
    return run


def registers_are_shown(run):
    for name in ("RAX=", "RSI=", "R8 =", "R15=", "RIP=", "RFL=", "CR0=",
                 "CR3=", "CR4="):
        run.said(rf"^umbra: error: .*\b{name}[0-9a-f]{{16}}")
    return int(run.said(r"^umbra: error: .*\bCR2=([0-9a-f]{16})")[1], 16)


@machine_test(seconds=2)
def null_pointer_is_recognised(machine):
    run = crashes(machine, "null")
    run.said("^umbra: error: #PF page fault in Umbra on CPU 0, error code 0: "
             "a null pointer$")
    check(registers_are_shown(run) == 0, "CR2 is not 0")
    run.said(r"^umbra: error: +0  0x[0-9a-f]+  read_null\+0x")


@machine_test(seconds=2)
def failing_check_says_where(machine):
    run = crashes(machine, "check")
    run.said(r"^umbra: error: core/crash\.c:\d+: CHECK failed: nowhere \(CPU 0")
    run.said(r"^umbra: error: +0  0x[0-9a-f]+  fail_check\+0x")


@machine_test(seconds=2)
def stack_overflow_is_recognised(machine):
    with machine.talk(*ENDLESS) as talk:
        talk.said("guest faults starts")
        talk.type(f"{MONITOR}crash stack\r")
        run = Run.of(talk)
    run.ended_with(125)
    run.said("^umbra: error: #DF double fault in Umbra .*: the stack has "
             "overflowed$")
    check(registers_are_shown(run) % 4096 > 3072, "CR2 is not where a stack "
          "that grows downwards meets its guard page")
    # The trace is as deep as it is allowed to be, and no deeper.
    run.said(r"^umbra: error: +23  0x[0-9a-f]+  recurse\+0x")
    run.never_said(r"^umbra: error: +24  ")


@machine_test(seconds=2)
def code_is_not_writable(machine):
    run = crashes(machine, "code")
    # SDM volume 3, "Page-Fault Error Code": present, write.
    run.said("^umbra: error: #PF page fault in Umbra on CPU 0, error code 0x3$")
    run.never_said("let it pass")


@machine_test(seconds=2)
def data_is_not_executable(machine):
    run = crashes(machine, "data")
    # Present, instruction fetch.
    run.said("^umbra: error: #PF page fault in Umbra on CPU 0, error code "
             "0x11$")
    cr2 = registers_are_shown(run)
    check(cr2 == int(run.said("RIP=([0-9a-f]{16})")[1], 16),
          "it is not the instruction that faulted")


@machine_test(seconds=2)
def machine_check_has_a_stack_and_a_name(machine):
    run = crashes(machine, "mc")
    run.said("^umbra: error: #MC machine check in Umbra on CPU 0, error code 0")
    registers_are_shown(run)


@machine_test(seconds=4)
def panic_stops_the_guests_on_other_cpus(machine):
    with machine.talk("build/guests/ring.elf", "--append", "mb=1 laps=0",
                      "--mem", "16M", "--set", "host.cpus=2",
                      "--set", "umbra.exit=stay") as talk:
        talk.expect("^RING lap 3$")
        talk.type(f"{MONITOR}crash null\r")
        talk.said("Umbra stops. All guests are lost")
        # It halts, and nothing more is printed: --timeout would go by.
        seen = talk.silence(2)
        check("RING" not in seen, f"a guest goes on: {seen!r}")


@machine_test(seconds=2)
def unknown_ways_to_crash_are_listed(machine):
    with machine.talk(*ENDLESS) as talk:
        talk.said("guest faults starts")
        talk.type(f"{MONITOR}crash test dummy\r")
        talk.said("^umbra: crash null, check, stack, code, data or mc$")
