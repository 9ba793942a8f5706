# SPDX-License-Identifier: MIT
"""A guest checks its own dirty log (guests/tracked.c): what it has written is
in it, what it has not is not, however Umbra logs and whatever comes between."""

import re

from lib import check, machine_test

GUEST = "build/guests/tracked.elf"
#: A millisecond has 50,000 instructions: what takes long stands out.
IPS = "host.ips=50000000"


def tracked(machine, words, cpus=1):
    run = machine.run(GUEST, "--mem", "16M", "--cpus", cpus, "--append", words,
                      "--set", "bench=on", "--set", IPS)
    run.guest_verdict()
    run.ended_with(1)
    return run


def harvests(run):
    found = re.findall(r"^LOG \d+: \d+ pages, sum 0x[0-9a-f]+$", run.out,
                       re.MULTILINE)
    check(len(found) == 8, f"{len(found)} harvests instead of 8")
    return found


@machine_test(seconds=6)
def both_ways_give_the_same_log(machine):
    """And the right one: every page that was written, by the guest in each of
    its ways, by the CPU in page tables, by Umbra for it, and no other."""
    same_log(machine, seed=1)


def same_log(machine, seed):
    by_pml = harvests(tracked(machine, f"exact by=pml seed={seed}"))
    by_wp = harvests(tracked(machine, f"exact by=wp seed={seed}"))
    check(by_pml == by_wp, "the logs differ")


def cut_short(run):
    return {name: int(count) for name, count in re.findall(
        r"^DELIVERY (\w+) cut short (\d+) times$", run.out, re.MULTILINE)}


@machine_test(seconds=3)
def log_that_is_full_in_the_delivery_of_an_event_loses_nothing(machine):
    counts = cut_short(tracked(machine, "delivery by=pml"))
    check(len(counts) == 7 and sum(counts.values()) >= 6, f"{counts}")


@machine_test(seconds=3)
def protected_stack_in_the_delivery_of_an_event_loses_nothing(machine):
    counts = cut_short(tracked(machine, "delivery by=wp"))
    check(len(counts) == 7 and all(counts.values()), f"{counts}")


@machine_test(seconds=3)
def log_that_is_full_at_iret_leaves_nmis_blocked(machine):
    tracked(machine, "iret by=pml")


@machine_test(seconds=3)
def protected_table_at_iret_leaves_nmis_blocked(machine):
    tracked(machine, "iret by=wp")


@machine_test(seconds=4)
def harvest_reaches_a_guest_that_never_exits(machine):
    for way in ("pml", "wp"):
        tracked(machine, f"reach by={way}", cpus=2).printed(
            r"^REACH longest harvest \d+ ticks, \d{3,} pages written$")


@machine_test(seconds=4)
def large_pages_go_and_come_back_while_the_guest_works(machine):
    for way in ("pml", "wp"):
        tracked(machine, f"split by={way}", cpus=2).printed(
            r"^SPLIT \d+ pages of 2M, counted \d+ in \d+ ticks; ")


def judged(machine, way, cpus, seed=1):
    run = tracked(machine, f"oracle by={way} seed={seed}", cpus)
    clean, dirty, writers = run.printed(
        r"^ORACLE (\d+) clean, (\d+) dirty, \d+ of them unchanged, "
        r"(\d+) writers$").groups()
    check(int(clean) > 1000 and int(dirty) > 100, "it has not seen both")
    check(int(writers) == max(1, cpus - 1), f"{writers} writers")


@machine_test(seconds=3)
def oracle_agrees_with_pml_on_one_cpu(machine):
    judged(machine, "pml", 1)


@machine_test(seconds=4)
def oracle_agrees_with_pml_on_two_cpus(machine):
    judged(machine, "pml", 2)


@machine_test(seconds=5)
def oracle_agrees_with_pml_on_four_cpus(machine):
    judged(machine, "pml", 4)


@machine_test(seconds=3)
def oracle_agrees_with_write_protection_on_one_cpu(machine):
    judged(machine, "wp", 1)


@machine_test(seconds=4)
def oracle_agrees_with_write_protection_on_two_cpus(machine):
    judged(machine, "wp", 2)


@machine_test(seconds=5)
def oracle_agrees_with_write_protection_on_four_cpus(machine):
    judged(machine, "wp", 4)


@machine_test(seconds=3)
def oracle_agrees_when_the_way_changes_on_one_cpu(machine):
    judged(machine, "mixed", 1)


@machine_test(seconds=4)
def oracle_agrees_when_the_way_changes_on_two_cpus(machine):
    judged(machine, "mixed", 2)


@machine_test(seconds=5)
def oracle_agrees_when_the_way_changes_on_four_cpus(machine):
    judged(machine, "mixed", 4)


@machine_test(seconds=200, limit=900, long=True)
def no_seed_makes_a_difference(machine):
    for seed in range(2, 10):
        same_log(machine, seed)
        for way in ("pml", "wp", "mixed"):
            for cpus in (1, 2, 4):
                judged(machine, way, cpus, seed)
