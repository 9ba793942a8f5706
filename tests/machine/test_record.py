# SPDX-License-Identifier: MIT
"""A guest is stopped, saved, made anew from its record and saved again
(core/record_loop.h): both records are the same, and so is what it computes."""

from lib import check, machine_test

RING = "build/guests/ring.elf"


def is_complete(machine, cpus, seed, *options):
    run = machine.run(RING, "--append", f"mb=2 mark=0 laps=1500 cpus={cpus}",
                      "--mem", "8M", "--cpus", cpus, "--set",
                      "record.loop=1000", "--set", f"record.seed={seed}",
                      "--set", "host.ips=20000000", *options)
    run.ended_with(1)
    run.guest_verdict()
    rounds = int(run.said(r"^umbra: record: (\d+) rounds, \d+ bytes each: "
                          "identical$").group(1))
    check(rounds >= 30, f"only {rounds} rounds before the guest's end")
    return run


@machine_test(seconds=3)
def record_of_a_guest_is_complete(machine):
    is_complete(machine, 1, 1)


@machine_test(seconds=4)
def record_of_a_guest_with_two_cpus_is_complete(machine):
    is_complete(machine, 2, 2)


@machine_test(seconds=6)
def new_vcpus_keep_up_with_dirty_logging(machine):
    run = is_complete(machine, 2, 3, "--set", "loopback=8", "--set",
                      "dirty=mixed")
    run.said(r"^umbra: loopback: .*: memory is identical$")
