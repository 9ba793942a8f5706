# SPDX-License-Identifier: MIT
"""Guests of Umbra's that are hypervisors: what runs natively (test_l1.py) runs
under Umbra, with the same words."""

import re

from lib import check, machine_test

GUESTS = "build/guests"


def hypervisor(machine, guest, *words, options=()):
    run = machine.run(f"{GUESTS}/{guest}.elf", *options, "--append",
                      " ".join(words))
    run.guest_verdict()
    run.ended_with(1)
    return run


@machine_test(seconds=3)
def guest_runs_a_guest_on_its_page_tables(machine):
    hypervisor(machine, "l1", "ept=0").printed(r"^L1: an L2 without EPT$")


@machine_test(seconds=3)
def guest_runs_a_guest_on_ept(machine):
    hypervisor(machine, "l1", "n=100").printed(r"^L1: an L2 with EPT$")


@machine_test(seconds=4)
def guest_of_a_guest_whose_stack_is_nowhere_ends(machine):
    """And the interrupt that needs it is not forgotten."""
    for words in ("lost", "lost ept=0"):
        run = machine.run(f"{GUESTS}/l1.elf", "--append", words)
        run.said("an exception or interrupt needs its stack or tables at "
                 "0xd0000[0-9a-f]+, where it has no memory")
        run.ended_with(126)


@machine_test(seconds=4)
def exit_out_of_long_mode_to_a_host_of_32_bits_aborts(machine):
    hypervisor_of_32_bits = machine.run(f"{GUESTS}/l1abort.elf", "--append",
                                        "stay")
    hypervisor_of_32_bits.ended_with(1)
    run = machine.run(f"{GUESTS}/l1abort.elf")
    run.said("guest l1abort, vCPU 0: VMX abort 6$")
    run.ended_with(126)


@machine_test(seconds=3)
def guest_sees_no_vmx_if_told_so(machine):
    run = machine.run(f"{GUESTS}/l1.elf", "--no-nested")
    run.printed(r"^FAIL vmx_is_there")
    run.ended_with(3)


ALL = ("--set", "umbra.apicv=on")


def conforms(machine, *parts, options=()):
    """The suite against the manual; what only the CPU does may be wrong as
    it is in Bochs 2.7 (the word "bochs"), and Umbra's software is not.
    Guest hypervisors are offered all that there is."""
    return set(re.findall(r"^KNOWN (\S+) ",
                          hypervisor(machine, "l1vmx", "bochs", *parts,
                                     options=(*ALL, *options)).out,
                          re.MULTILINE))


@machine_test(seconds=6)
def instructions_and_entry_are_as_in_the_manual(machine):
    check(conforms(machine, "instructions") == set(), "instructions")
    check(conforms(machine, "entry") == set(), "entry")


@machine_test(seconds=6)
def instructions_of_the_hosts_cpu_are_as_in_the_manual(machine):
    """No model has XSAVES: with cpu=host L1 has it, and its control."""
    check(conforms(machine, "instructions", options=("--set", "cpu=host"))
          == set(), "instructions")


@machine_test(seconds=9, limit=120)
def exits_and_state_are_as_in_the_manual(machine):
    check(conforms(machine, "exits") == {"sib-segment"}, "exits")
    check(conforms(machine, "state") == {"real-error-code"}, "state")


@machine_test(seconds=4)
def monitor_trap_flag_is_as_in_the_manual(machine):
    """What Umbra carries out for L2, and pending exits that L1 injects; the
    steps of the CPU's own are beyond Bochs 2.7."""
    run = machine.run(f"{GUESTS}/l1vmx.elf", "--append", "step")
    run.said("monitor trap flag for guest hypervisors: no; left out, as")
    run.printed(r"^RESULT PASS 0/0$")
    known = conforms(machine, "step", options=("--set", "umbra.mtf=on"))
    check(known == {"monitor-trap"}, "step")


@machine_test(seconds=4)
def what_comes_first_is_as_in_the_manual(machine):
    check(conforms(machine, "order") == set(), "order")


@machine_test(seconds=4)
def posted_interrupts_are_as_in_the_manual(machine):
    """Where the CPU's own delivery is taken for right."""
    delivery = ("--set", "umbra.apicv=on")
    check(conforms(machine, "posted", options=delivery) == set(), "posted")


@machine_test(seconds=5)
def apic_of_l2_is_as_in_the_manual(machine):
    """Whichever mode L1's own is in."""
    check(conforms(machine, "vapic") == set(), "vapic")
    check(conforms(machine, "vapic", "apic=x") == set(), "vapic, apic=x")


@machine_test(seconds=5)
def init_and_sipi_in_vmx_operation_are_as_in_the_manual(machine):
    check(conforms(machine, "init", "early", options=("--cpus", "2"))
          == set(), "init")


@machine_test(seconds=8, limit=120)
def ept_and_events_are_as_in_the_manual(machine):
    check(conforms(machine, "ept") == {"walk-access"}, "ept")
    check(conforms(machine, "events") == set(), "events")
