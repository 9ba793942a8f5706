# SPDX-License-Identifier: MIT
"""A guest is stopped, saved, made anew from its record and saved again
(core/record_loop.h): both records are the same, and so is what it computes."""

from lib import check, machine_test

RING = "build/guests/ring.elf"
L1RING = "build/guests/l1ring.elf"


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


def hypervisor_is_complete(machine, cpus, *words):
    """L1 is made anew between any two instructions of its own, with and
    without a current VMCS, before and after it has launched."""
    run = machine.run(L1RING, "--append",
                      " ".join((f"cpus={cpus} mark=0", *words)), "--mem",
                      "32M", "--cpus", cpus, "--set", "record.loop=2000",
                      "--set", "host.ips=20000000")
    run.ended_with(1)
    run.guest_verdict()
    run.said(r"^umbra: record: \d+ rounds, \d+ bytes each: identical$")
    rounds = int(run.said(r"^umbra: record: (\d+) rounds in VMX operation, "
                          r"\d+ put off because an L2 ran$").group(1))
    check(rounds >= 30, f"only {rounds} rounds in VMX operation")


@machine_test(seconds=8, limit=150)
def record_of_a_hypervisor_is_complete(machine):
    hypervisor_is_complete(machine, 1, "laps=30", "switch", "timer", "inject",
                           "fields", "areas")


@machine_test(seconds=10, limit=150)
def record_of_a_hypervisor_with_two_cpus_is_complete(machine):
    hypervisor_is_complete(machine, 2, "laps=10", "pml", "protect",
                           "interrupt")


@machine_test(seconds=6)
def new_vcpus_keep_up_with_dirty_logging(machine):
    run = is_complete(machine, 2, 3, "--set", "loopback=8", "--set",
                      "dirty=mixed")
    run.said(r"^umbra: loopback: .*: memory is identical$")
