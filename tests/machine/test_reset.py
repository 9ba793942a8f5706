# SPDX-License-Identifier: MIT
"""What a reset does to a guest, and to its neighbours."""

from lib import machine_test

FAULTS = "build/guests/faults.elf"
HELLO = "build/guests/hello.elf"


@machine_test(seconds=4)
def guest_begins_anew_after_a_triple_fault(machine):
    with machine.talk(FAULTS, "--append", "triple", "--mem", "32M",
                      "--set", "reset=restart") as run:
        seen = 0
        for _ in range(3):
            seen = run.expect("^faults: triple", after=seen).end()
        run.expect("guest faults resets", stream="err")


@machine_test(seconds=6)
def neighbour_of_a_guest_that_resets_for_ever_finishes(machine):
    with machine.talk(HELLO, "--mem", "32M", "--set", "reset=restart",
                      "--guest", f"{FAULTS}:triple") as run:
        run.expect(r"^hello\| RESULT PASS")
        run.expect("guest hello has ended: .* status 1", stream="err")


@machine_test(seconds=3)
def wrong_word_for_reset_is_explained(machine):
    run = machine.run(HELLO, "--mem", "32M", "--set", "reset=maybe")
    run.ended_with(1)
    run.said("reset=maybe: it can be restart or stop")
