# SPDX-License-Identifier: MIT
"""Umbra inside Umbra: as a guest hypervisor it needs nothing that Umbra does
not give its guests, and its own guests cannot tell."""

import json

from lib import check, machine_test

UMBRA = "build/umbra.elf"
HELLO = "build/guests/hello.elf"
RING = "build/guests/ring.elf"


def inner(guest, settings, words=""):
    """An option that gives the inner Umbra a guest."""
    return f"--module=build/guests/{guest}.elf:guest {settings} -- {words}"


@machine_test(seconds=6)
def umbra_runs_inside_umbra(machine):
    run = machine.run(UMBRA, "--append", "exit=acpi",
                      inner("hello", "mem=4M cpus=2"),
                      inner("ring", "mem=4M cpus=2", "mb=1 laps=100 mark=0"),
                      "--mem", "32M", "--cpus", "2")
    run.ended_with(0)
    run.printed(r"^umbra: Umbra .* Umbra Virtual CPU")
    run.printed(r"^cpus 2 of 2$")
    run.printed(r"^umbra: guest guest0 has ended: .* status 1$")
    run.printed(r"^umbra: guest guest1 has ended: .* status 1$")


@machine_test(seconds=4)
def guest_of_an_inner_umbra_has_its_interrupts_off(machine):
    """Which the inner one leaves to a CPU that delivers virtual interrupts, if
    it is told that this one does so rightly: docs/TESTING.md."""
    run = machine.run(UMBRA, "--append", "exit=acpi",
                      inner("interrupts", "mem=8M", "masked"),
                      "--mem", "16M", "--set", "host.ips=10000000")
    run.ended_with(0)
    run.printed("^umbra: VMX: virtual-interrupt delivery: no; ")
    run.printed(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=7)
def bytes_cross_the_cable_between_two_guests(machine):
    """Checked bytes, both ways at once, by Umbra's own virtio-serial driver;
    each guest has a CPU."""
    words = "exit=acpi link=virtio linktest=both linktest.bytes=600000"
    run = machine.run(UMBRA, "--append", words, "--guest", UMBRA, "--append",
                      words, "--mem", "16M", "--set", "connect=here",
                      "--set", "host.cpus=2", "--set", "host.ips=20000000")
    run.ended_with(0)
    good = r"linktest: good: 600000 bytes sent, 600000 received"
    run.printed(rf"^umbra\| umbra: {good}")
    run.printed(rf"^umbra-2\| umbra: {good}")


@machine_test(seconds=3)
def label_that_one_guest_or_three_have_is_told(machine):
    run = machine.run(HELLO, "--mem", "4M", "--set", "connect=alone")
    run.ended_with(1)
    run.said("guest hello: connect=alone: no other guest has that label")
    run = machine.run(HELLO, "--guest", HELLO, "--guest", HELLO, "--mem", "4M",
                      "--set", "connect=three")
    run.ended_with(125)
    run.said("guest hello-3: connect=three: a cable has two ends, and guests "
             "hello and hello-2 have them")


def moved_inside(machine, *options):
    """By L1s with Umbra's virtio-serial driver, over the cable; the guest is
    what the outer Umbra calls L2."""
    run = machine.umbra("migrate", RING, "--inside", "--append",
                        "mb=1 mark=0 laps=10000", "--mem", "4M", "--engine",
                        machine.engine_name(), "--timeout",
                        str(machine.seconds_left()), "--at", "RING base",
                        "--set", "downtime=200s", *options)
    run.ended_with(1)
    return run


@machine_test(seconds=10, limit=200)
def two_umbras_in_an_umbra_move_a_guest(machine):
    run = moved_inside(machine)
    run.guest_verdict()
    run.said(r"^umbra: audit full: \d+ groups of pages are the same$")
    run.said("destination: umbra: migration: guest ring is here")
    run.said("source: umbra: guest ring has ended: it has moved to the peer")


@machine_test(seconds=10, limit=200)
def pages_are_read_while_the_guest_writes_them(machine):
    run = moved_inside(machine, "--set", "compress=off", "--json")
    result = json.loads(run.out)["migrations"][0]
    check(result["audit"] == "full" and result["groups"] == 16
          and result["lent"] == result["raw"] > 256, f"it says {result}")


@machine_test(seconds=12, limit=150)
def umbra_moves_while_its_guest_runs(machine):
    """The inner Umbra and the guest in it are L1 and L2 of what moves."""
    run = machine.umbra("migrate", UMBRA, "--append", "exit=acpi",
                        inner("ring", "mem=4M", "mb=1 mark=0 laps=20000"),
                        "--mem", "16M", "--engine", machine.engine_name(),
                        "--timeout", str(machine.seconds_left()),
                        "--link", "net", "--at", "RING base",
                        "--set", "host.ips=20000000",
                        "--set", "downtime=200s")
    run.ended_with(0)
    run.said(r"^umbra: audit full: \d+ groups of pages are the same$")
    run.said("destination: umbra: migration: guest umbra is here")
    run.printed(r"^RESULT PASS 1/1$")
    run.printed(r"^umbra: guest guest0 has ended: .* status 1$")
