# SPDX-License-Identifier: MIT
"""A guest moves from one machine to another while it works: its memory is
complete there, whatever the link and the number of CPUs."""

import json

from lib import check, machine_test

RING = "build/guests/ring.elf"


def migrate(machine, guest, *options):
    return machine.umbra("migrate", guest, "--engine", machine.engine_name(),
                         "--timeout", str(machine.seconds_left()), *options)


def ring(machine, cpus, laps, *options):
    """The ring guest, moved in the middle of its work, with audit. How long it
    stands still is in the time of an emulator that waits."""
    run = migrate(machine, RING, "--append",
                  f"mb=1 mark=0 laps={laps} cpus={cpus}", "--mem", "4M",
                  "--cpus", cpus, "--at", "0.5", "--set",
                  "host.ips=20000000", "--set", "downtime=200s", *options)
    run.ended_with(1)
    run.guest_verdict()
    return run


def moved(run, times=1):
    check(run.err.count("umbra: migration moved:") == times,
          f"it was not moved {times} times")
    run.said(r"^umbra: audit full: \d+ groups of pages are the same$")
    run.said(r"destination: umbra: migration: guest ring is here")


@machine_test(seconds=6, limit=100)
def ring_moves_over_the_network(machine):
    moved(ring(machine, 1, 6000, "--link", "net"))


@machine_test(seconds=8, limit=100)
def ring_on_two_cpus_moves_over_the_network(machine):
    moved(ring(machine, 2, 6000, "--link", "net"))


@machine_test(seconds=40, limit=400)
def ring_moves_over_the_serial_line(machine):
    # The slower the CPU, the faster beside it is the line.
    moved(ring(machine, 1, 6000, "--link", "uart", "--set",
               "host.ips=1000000", "--set", "downtime=2000s"))


@machine_test(seconds=25, limit=200)
def ring_goes_there_and_back_again(machine):
    run = ring(machine, 2, 30000, "--link", "net", "--times", "3")
    moved(run, times=3)


@machine_test(seconds=6, limit=100)
def figures_are_given_to_machines(machine):
    run = migrate(machine, RING, "--append", "mb=1 mark=0 laps=6000", "--mem",
                  "4M", "--link", "net", "--at", "0.5", "--json", "--set",
                  "host.ips=20000000", "--set", "downtime=30s", "--set",
                  "audit=off")
    run.ended_with(1)
    told = json.loads(run.out)
    result = told["migrations"][0]
    check(told["status"] == 1 and result["result"] == "moved"
          and result["audit"] == "off", f"it says {told}")
    # Pages are worth their bytes on the wire.
    check(result["bytes"] < 1.02 * 4096 * result["raw"] + 20000,
          f"{result['bytes']} bytes for {result['raw']} pages")


@machine_test(seconds=6, limit=100)
def guest_that_ends_too_early_is_said(machine):
    run = migrate(machine, RING, "--append", "mb=1 laps=10", "--mem", "4M",
                  "--link", "net", "--at", "no such mark")
    run.ended_with(125)
    run.said("the guest ended before it was migrated; choose an earlier --at")
