# SPDX-License-Identifier: MIT
"""Guests of Umbra's that are hypervisors: what runs natively (test_l1.py) runs
under Umbra, with the same words."""

from lib import machine_test

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


@machine_test(seconds=3)
def guest_sees_no_vmx_if_told_so(machine):
    run = machine.run(f"{GUESTS}/l1.elf", "--no-nested")
    run.printed(r"^FAIL vmx_is_there")
    run.ended_with(3)
