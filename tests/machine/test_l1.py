# SPDX-License-Identifier: MIT
"""Guests that are hypervisors (guests/l1*.c), on the emulator itself: what they
expect is what the manual says, and not Umbra's invention."""

import re

from lib import check, machine_test

GUESTS = "build/guests"


def natively(machine, guest, *words, cpus=1, model=None):
    """Bochs boots the guest in Umbra's place; its words are Umbra's."""
    options = ["--set", f"host.image={GUESTS}/{guest}.elf32"]
    for word in words:
        key, _, value = word.partition("=")
        options += ["--set", f"umbra.{key}={value or 1}"]
    if model:
        options += ["--set", f"host.cpu={model}"]
    return machine.run(f"{GUESTS}/hello.elf", "--set", f"host.cpus={cpus}",
                       *options)


@machine_test(seconds=2)
def smallest_hypervisor_runs_its_guest(machine):
    for words in (("ept=1",), ("ept=0", "n=3")):
        run = natively(machine, "l1", *words)
        run.said(r"^L1: an L2 with")
        run.said(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=2)
def hypervisor_runs_on_cpu_without_pml(machine):
    run = natively(machine, "l1", model="corei7_haswell_4770")
    run.said(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=2)
def nested_ticks_measures_every_row(machine):
    """In the emulator itself, where pages cost what their stores cost."""
    run = natively(machine, "l1ticks", "n=100", "pages=512")
    run.said(r"^RESULT PASS (\d+)/\1$")
    rows = {name: float(ticks) for name, ticks in
            re.findall(r"^ticks (\w+) (\d+\.\d+) times", run.err,
                       re.MULTILINE)}
    check(rows["exit_no_field"] > rows["cpuid"], "an exit costs nothing")
    check(rows["exit_cpuid"] > rows["exit_no_field"], "fields cost nothing")
    for row in ("cold", "warm", "after_invept", "after_protect", "cold_ad",
                "read_ad", "write_ad", "pml"):
        check(4 <= rows[row] < 6, f"{row} costs {rows[row]}")


def conforms(machine, *parts):
    run = natively(machine, "l1vmx", *parts)
    run.said(r"^RESULT PASS (\d+)/\1$")
    return set(re.findall(r"^KNOWN (\S+) ", run.err, re.MULTILINE))


@machine_test(seconds=6)
def emulator_conforms_but_for_known_defects(machine):
    """What the suite expects is possible, and each excuse is needed."""
    check(conforms(machine, "instructions") == {"wide-type"}, "instructions")
    check(conforms(machine, "entry") ==
          {"error-code", "nmi-state", "debugctl", "entry-rip",
           "activity-events", "pending-debug", "long-paging", "code-dpl",
           "smm-entry", "msr-failure", "nmi-sti"}, "entry")
    check(conforms(machine, "exits") == {"sib-segment"}, "exits")
    check(conforms(machine, "ept") == {"ept-bit-12", "pml-address",
                                       "walk-access"}, "ept")
    check(conforms(machine, "events") == {"timer-zero"}, "events")
    check(conforms(machine, "state") == {"real-error-code",
                                         "resume-flag"}, "state")
    check(conforms(machine, "step") == {"monitor-trap"}, "step")
    check(conforms(machine, "order") == {"nmi-unblocked",
                                         "threshold-shutdown",
                                         "window-activity"}, "order")


#: What an L1 can do to its L2 (guests/l1ring.c), alone and together.
RING_WAYS = (
    ("ept=0",), ("pml",), ("alias", "vmfunc", "switch"),
    ("mb=8", "pml", "protect", "timer", "areas", "inject", "halt",
     "interrupt", "switch", "fields"),
)


@machine_test(seconds=5)
def ring_of_l2_has_one_edge_whatever_l1_does(machine):
    for words in RING_WAYS:
        run = natively(machine, "l1ring", "laps=6", *words)
        run.said(r"^L1RING base=0x[0-9a-f]+ pages=\d+ rings=\d+$")
        run.said(r"^L1RING lap 6$")
        run.said(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=1)
def all_that_a_hypervisor_can_be_comes_out_as_the_manual_says(machine):
    run = natively(machine, "l1moments")
    run.said(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=3)
def rings_of_l2s_on_two_cpus_have_one_edge_each(machine):
    run = natively(machine, "l1ring", "cpus=2", "laps=4", "mb=8", "pml",
                   "protect", "timer", "inject", "halt", cpus=2)
    run.said(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=2)
def ring_of_l2_notices_a_lost_page(machine):
    run = natively(machine, "l1ring", "damage=3")
    run.said("^FAIL page_before_it_was_written: ring 0, lap 3: ")
    run.said("^RESULT FAIL ")
