# SPDX-License-Identifier: MIT
"""The figures that Umbra promises: `./umbra bench` measures them."""

from lib import machine_test


def meets_targets(machine, section, *rows):
    """Ticks are instructions: the same however busy the host is."""
    run = machine.umbra("bench", "--only", section, "--check", "--quiet")
    run.ended_with(0)
    for row in rows:
        run.printed(f"^{row} .* met ")


@machine_test(seconds=13, limit=300)
def dirty_logging_meets_its_targets(machine):
    meets_targets(machine, "dirty", "pml: the guest dirties a page",
                  "wp: the guest dirties a page")


@machine_test(seconds=8, limit=300)
def exits_meet_their_targets(machine):
    meets_targets(machine, "exits", "CPUID")


@machine_test(seconds=11, limit=300)
def nested_exits_meet_their_targets(machine):
    meets_targets(machine, "nested", "VMPTRLD of the other of two",
                  "L2 writes a page, shadow cold")
