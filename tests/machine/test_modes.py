# SPDX-License-Identifier: MIT
"""Through all modes of a CPU and back (guests/modes.c): 32-bit code, PAE and
4 MiB pages, virtual-8086, 16-bit protected and real mode."""

from lib import machine_test

MODES = "build/guests/modes.elf"
HELLO = "build/guests/hello.elf"


def tours(machine, count, *options):
    run = machine.run(MODES, "--append", f"n={count}", "--mem", "8M",
                      *options)
    run.ended_with(1)
    run.printed(f"^modes: {count} tours$")
    run.guest_verdict()
    return run


@machine_test(seconds=2)
def every_mode_works(machine):
    tours(machine, 20)


@machine_test(seconds=2)
def modes_are_what_a_machine_makes_of_them(machine):
    """Booted in Umbra's place, with its own words for Umbra's."""
    run = machine.run(HELLO, "--set", f"host.image={MODES}32", "--set",
                      "umbra.n=2")
    run.said("^modes: 2 tours$")
    run.said(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=2)
def every_mode_works_on_an_older_cpu(machine):
    tours(machine, 5, "--set", "host.cpu=corei7_haswell_4770")


def while_writes_are_logged(machine, mode):
    """Stacks, page tables and descriptors of every mode, taken away."""
    run = tours(machine, 60, "--set", "host.ips=20000000", "--set",
                "loopback=100", "--set", f"dirty={mode}")
    run.said("^umbra: loopback: .*: memory is identical$")


@machine_test(seconds=3)
def every_mode_works_under_write_protection(machine):
    while_writes_are_logged(machine, "wp")


@machine_test(seconds=3)
def every_mode_works_under_pml(machine):
    while_writes_are_logged(machine, "pml")
