# SPDX-License-Identifier: MIT
"""Exceptions, interrupts and the state that a hypervisor switches
(guests/events.c): the same under Umbra as on the bare machine."""

from lib import check, machine_test

EVENTS = "build/guests/events.elf"
HELLO = "build/guests/hello.elf"
MACHINE = ("--mem", "8M", "--set", "host.ips=20000000")

#: Each is a case of the guest.
CASES = ("step", "trap-first", "icebp", "stack-shadow", "breakpoints",
         "watched", "resume-flag",
         "general-detect", "debug-faults", "debug-stay", "shadows", "window",
         "nmi-blocking", "nmi-off", "hidden", "deliveries", "xsetbv", "vectors",
         "control", "memory-types", "monitor", "speculation",
         "spec-stay")


def events(machine, words, *options):
    run = machine.run(EVENTS, "--append", words, *MACHINE, *options)
    run.ended_with(1)
    run.guest_verdict()
    return run


@machine_test(seconds=2)
def events_come_as_the_manual_says(machine):
    run = events(machine, "n=50")
    for case in CASES:
        run.printed(f"^events: {case}$")


@machine_test(seconds=2)
def events_are_what_a_machine_makes_of_them(machine):
    """Booted in Umbra's place, with its own words for Umbra's."""
    run = machine.run(HELLO, "--set", f"host.image={EVENTS}32", "--set",
                      "umbra.n=50")
    for case in CASES:
        run.said(f"^events: {case}$")
    run.said(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=2)
def instructions_of_newer_cpus_are_undefined(machine):
    """RDRAND, RDSEED and INVPCID, which a nehalem does not have."""
    run = events(machine, "hidden", "--set", "cpu=nehalem")
    run.said("CPU model nehalem$")
    run.printed(r"^RESULT PASS 4/4$")


@machine_test(seconds=2)
def single_step_ends_hlt(machine):
    """Apart: Bochs 2.7 by itself sleeps on."""
    events(machine, "halt-step").never_said("will not run on")


def deliveries_are_cut_short(machine, mode):
    """By dirty logging, which takes the stack's page away all the time."""
    run = events(machine, "deliveries n=2000", "--set", "loopback=200",
                 "--set", f"dirty={mode}")
    rounds = run.said(r"^umbra: loopback: (\d+) rounds, .*: memory is "
                      "identical$")[1]
    check(int(rounds) >= 10, f"only {rounds} rounds")


@machine_test(seconds=3)
def deliveries_cut_short_by_write_protection_come_once(machine):
    deliveries_are_cut_short(machine, "wp")


@machine_test(seconds=3)
def deliveries_come_once_while_pml_logs_them(machine):
    deliveries_are_cut_short(machine, "pml")


def state_stays_apart(machine, word, guests, cpus):
    more = [option for seed in range(2, guests + 1)
            for option in ("--guest", f"{EVENTS}:{word} seed={seed}")]
    run = machine.run(EVENTS, "--append", f"{word} seed=1", *more, *MACHINE,
                      "--set", f"host.cpus={cpus}")
    run.ended_with(1)
    check(run.out.count("RESULT PASS") == guests, "a guest has not passed")
    return run


@machine_test(seconds=3)
def debug_registers_do_not_leak_on_one_cpu(machine):
    state_stays_apart(machine, "debug-stay", guests=3, cpus=1)


@machine_test(seconds=3)
def vector_registers_do_not_leak_on_one_cpu(machine):
    run = state_stays_apart(machine, "vectors", guests=3, cpus=1)
    run.printed(r"\| AVX$")


@machine_test(seconds=3)
def speculation_control_does_not_leak_on_one_cpu(machine):
    run = state_stays_apart(machine, "spec-stay", guests=3, cpus=1)
    for value in (1, 2, 3):
        run.printed(rf"SPEC_CTRL {value:#x}$")


@machine_test(seconds=4)
def registers_move_between_cpus(machine):
    """More guests than CPUs: they go from one to the other."""
    state_stays_apart(machine, "vectors debug-stay", guests=3, cpus=2)
