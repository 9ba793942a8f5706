# SPDX-License-Identifier: MIT
"""Speculative execution: what Umbra says that it does about it on each CPU, and
that what is not needed is not paid for. What it does, an emulator cannot show;
the choice is tests/unit/test_mitigation.c's."""

import re

from lib import check, machine_test

HELLO = "build/guests/hello.elf"
TICKS = "build/guests/ticks.elf"


def starts(machine, *options):
    run = machine.run(HELLO, "--mem", "16M", *options)
    run.ended_with(1)
    return run


@machine_test(seconds=2)
def enhanced_ibrs_is_used_where_it_is(machine):
    run = starts(machine)
    run.said("^umbra: mitigations: VERW at entry, enhanced IBRS, fence at "
             "exit, branch history cleared at exit, IBPB between guests$")
    run.never_said("warning: mitigations")


@machine_test(seconds=2)
def old_microcode_is_told(machine):
    run = starts(machine, "--set", "host.cpu=corei7_skylake_x")
    run.said("^umbra: mitigations: return stack filled at exit$")
    run.said("^umbra: warning: mitigations: .*by L1TF .*, MDS .*, branch "
             "injection .*microcode update")


@machine_test(seconds=2)
def mitigations_can_be_off(machine):
    run = starts(machine, "--set", "umbra.mitigations=off")
    run.said(r"^umbra: mitigations: nothing \(mitigations=off\)$")
    run.never_said("warning: mitigations")


@machine_test(seconds=2)
def wrong_word_is_explained(machine):
    starts(machine, "--set", "umbra.mitigations=some").said(
        "mitigations=some.*auto.*off")


def ticks_of_an_exit(machine, *options):
    run = machine.run(TICKS, "--append", "n=50 best=5", "--mem", "16M",
                      *options)
    return float(re.search(r"^ticks cpuid (\d+\.\d)", run.out,
                           re.MULTILINE)[1])


@machine_test(seconds=4)
def what_is_not_needed_costs_nothing(machine):
    """An exit takes the same instructions on a CPU that is told to do nothing,
    whatever it could do; and more where something is done."""
    off = ticks_of_an_exit(machine, "--set", "umbra.mitigations=off")
    other = ticks_of_an_exit(machine, "--set", "umbra.mitigations=off",
                             "--set", "host.cpu=corei7_skylake_x")
    auto = ticks_of_an_exit(machine)
    check(off == other, f"{off} and {other} ticks without mitigations")
    check(off + 50 < auto < off + 150, f"{off} ticks off, {auto} on")
