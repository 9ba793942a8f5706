# SPDX-License-Identifier: MIT
"""What a guest hypervisor may do to its guest, and what it may not: rings of L2
under Umbra, random L2s that must end as in the emulator itself, and hypervisors
that mean no good."""

import re

from lib import check, machine_test

GUESTS = "build/guests"
RING = f"{GUESTS}/ring.elf"


def ring_of_l2(machine, *words, options=()):
    run = machine.run(f"{GUESTS}/l1ring.elf", "--mem", "32M", *options,
                      "--append", " ".join(("laps=6", *words)))
    run.printed(r"^L1RING lap 6$")
    run.guest_verdict()
    run.ended_with(1)


@machine_test(seconds=9)
def ring_of_l2_has_one_edge_whatever_l1_does_at_once(machine):
    ring_of_l2(machine, "mb=2", "pml", "protect", "timer", "areas", "inject",
               "halt", "interrupt", "switch", "fields")


@machine_test(seconds=8)
def ring_of_l2_has_one_edge_under_umbra(machine):
    for words in (("ept=0", "timer", "inject"), ("pml",),
                  ("alias", "vmfunc"),
                  ("protect", "areas", "halt", "interrupt", "switch")):
        ring_of_l2(machine, *words)


def outcomes(text):
    return dict(re.findall(r"^DIFF seed=(\d+) (.*)$", text, re.MULTILINE))


def outcomes_in_bochs(machine, first, count):
    alone = machine.run(f"{GUESTS}/hello.elf", "--set",
                        f"host.image={GUESTS}/l1diff.elf32", "--set",
                        f"umbra.first={first}", "--set",
                        f"umbra.count={count}")
    alone.said(r"^RESULT PASS 1/1$")
    found = outcomes(alone.err)
    check(len(found) == count, f"{len(found)} outcomes natively")
    return found


def differing_seeds(machine, first, count):
    """Seeds of guests/l1diff.c of which more comes under Umbra than natively,
    or something else."""
    wanted = outcomes_in_bochs(machine, first, count)
    under = machine.run(f"{GUESTS}/l1diff.elf", "--mem", "64M", "--append",
                        f"first={first} count={count}")
    under.guest_verdict()
    found = outcomes(under.out)
    return [seed for seed in wanted if found.get(seed) != wanted[seed]]


@machine_test(seconds=12, limit=180)
def random_l2s_end_as_in_the_emulator_itself(machine):
    for first, count in ((1, 150), (3091, 2), (100000, 60)):
        check(not (seeds := differing_seeds(machine, first, count)),
              f"seeds {' '.join(seeds)}")


@machine_test(seconds=4)
def what_comes_of_a_seed_depends_on_it_alone(machine):
    """Before seed 130 one blocks virtual NMIs, which Bochs 2.7 remembers."""
    all_of_them = outcomes_in_bochs(machine, 1, 150)
    for first, count in ((130, 8), (145, 5)):
        for seed, outcome in outcomes_in_bochs(machine, first, count).items():
            check(all_of_them[seed] == outcome, f"seed {seed}")


def neighbour_finishes(machine, *settings):
    options = [word for seed in range(1, 4) for word in
               ("--guest", f"{GUESTS}/l1hostile.elf:seed={seed} steps=1000",
                "--guest", f"{GUESTS}/l1hostile.elf:reckless seed={seed}")]
    run = machine.run(RING, "--append", "mb=1 mark=0 laps=300", *options,
                      "--mem", "8M", "--set", "host.ips=20000000", *settings)
    run.printed(r"^ring\| RESULT PASS")
    run.never_said("in Umbra on CPU|CHECK failed|Umbra stops")


@machine_test(seconds=12)
def neighbour_of_a_hostile_hypervisor_finishes(machine):
    """The hypervisor itself may be stopped; that is told, and no more."""
    neighbour_finishes(machine)


@machine_test(seconds=12)
def neighbour_of_a_hostile_user_of_hyperv_finishes(machine):
    """It knows the interface, and what enlightened VMCSs are."""
    neighbour_finishes(machine, "--set", "hyperv=on")
