# SPDX-License-Identifier: MIT
"""A guest that does whatever it can think of (guests/hostile.c) never brings
Umbra down, nor its neighbour off: that one counts in its memory and looks for
what others may have written there (guests/ring.c)."""

from lib import check, machine_test

HOSTILE = "build/guests/hostile.elf"
RING = "build/guests/ring.elf"
MACHINE = ("--mem", "8M", "--set", "host.ips=20000000")
WORK = "mb=1 mark=0 laps=500"


def goes_on_beside(machine, words, *options):
    """The neighbour finishes; so does the hostile guest, if it may."""
    run = machine.run(RING, "--append", WORK, "--guest",
                      f"{HOSTILE}:{words}", *MACHINE, *options)
    run.printed(r"^ring\| RESULT PASS")
    run.never_said("in Umbra on CPU|CHECK failed|Umbra stops")
    return run


@machine_test(seconds=6)
def neighbour_of_a_hostile_guest_finishes(machine):
    run = goes_on_beside(machine, "seeds=20")
    run.ended_with(1)
    # It may have written to its console port, and not ended the line.
    run.printed(r"^hostile\| .*hostile: 20 seeds, [1-9]\d* exceptions")
    run.printed(r"^hostile\| RESULT PASS (\d+)/\1$")


@machine_test(seconds=6)
def hostile_guests_on_two_cpus_change_nothing(machine):
    run = goes_on_beside(machine, "seeds=15 seed=1000", "--guest",
                         f"{HOSTILE}:seeds=15 seed=2000", "--set",
                         "host.cpus=2")
    run.ended_with(1)
    check(run.out.count("RESULT PASS") == 3, "not all have passed")


@machine_test(seconds=6)
def hostile_guest_whose_writes_are_logged_is_copied(machine):
    run = machine.run(HOSTILE, "--append", "seeds=10 seed=3000", *MACHINE,
                      "--set", "loopback=20", "--set", "dirty=mixed")
    run.ended_with(1)
    run.said("^umbra: loopback: .*: memory is identical$")


@machine_test(seconds=8)
def wild_guest_that_is_reset_again_and_again_changes_nothing(machine):
    """It loses its tables, runs random bytes, asks for resets."""
    with machine.talk(RING, "--append", WORK, "--guest",
                      f"{HOSTILE}:wild seeds=0", *MACHINE, "--set",
                      "reset=restart") as talk:
        talk.expect(r"^ring\| RESULT PASS")
        talk.expect("guest ring has ended: .* status 1$", stream="err")


@machine_test(seconds=900, limit=3600, long=True)
def thousands_of_seeds_change_nothing(machine):
    for first in range(10000, 14000, 500):
        run = goes_on_beside(machine, f"seeds=500 seed={first}")
        run.ended_with(1)
        run.printed(r"^hostile\| RESULT PASS")
