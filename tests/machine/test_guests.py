# SPDX-License-Identifier: MIT
"""The guests of our own do what they promise, under Umbra and without it."""

import re

from lib import check, machine_test

GUESTS = "build/guests"


@machine_test(seconds=3)
def memory_mapped_apic_works(machine):
    """Every access to it is an instruction that Umbra carries out."""
    run = machine.run(f"{GUESTS}/hello.elf", "--append", "apic=x", "--cpus",
                      "2", "--mem", "16M")
    run.printed("^apic xAPIC, id 0$")
    run.printed("^cpus 2 of 2$")
    run.guest_verdict()


@machine_test(seconds=3)
def ring_has_one_edge(machine):
    run = machine.run(f"{GUESTS}/ring.elf", "--append", "mb=8 laps=4",
                      "--mem", "16M")
    run.printed("^RING base=0x[0-9a-f]+ pages=2048 cpus=1 offset=0$")
    run.printed("^RING lap 4$")
    run.guest_verdict()


@machine_test(seconds=4)
def rings_of_two_cpus_have_one_edge_each(machine):
    run = machine.run(f"{GUESTS}/ring.elf", "--append", "mb=4 laps=6",
                      "--mem", "16M", "--cpus", "2")
    run.printed("^RING base=0x[0-9a-f]+ pages=1024 cpus=2 offset=0$")
    run.guest_verdict()


@machine_test(seconds=3)
def ring_notices_a_lost_page(machine):
    run = machine.run(f"{GUESTS}/ring.elf", "--append",
                      "mb=8 laps=4 damage=3", "--mem", "16M")
    run.ended_with(3)
    run.printed("^FAIL one_edge: page 1024 at .* has 1 instead of 2, before")
    run.printed("^RESULT FAIL ")


@machine_test(seconds=5)
def ticks_measures_every_row(machine):
    run = machine.run(f"{GUESTS}/ticks.elf", "--append", "n=100", "--mem",
                      "16M", "--cpus", "2")
    rows = dict(re.findall(r"^ticks (\w+) (\d+\.\d)", run.out,
                           re.MULTILINE))
    check(float(rows["nothing"]) < 10, f"an empty loop: {rows['nothing']}")
    for row in ("cpuid", "vmcall", "port_in", "port_out", "rdmsr_tsc_adjust",
                "self_ipi", "timer", "ipi", "ipi_to_sleeping"):
        check(float(rows[row]) > float(rows["nothing"]), f"no {row}")
    run.guest_verdict()


def natively(machine, guest, words, cpus):
    """QEMU without Umbra: 32-bit ELF, its own timer and xAPIC."""
    return machine.command(
        "timeout", "30", "qemu-system-x86_64", "-nodefaults", "-display",
        "none", "-serial", "stdio", "-no-reboot", "-m", "64", "-cpu", "max",
        "-smp", str(cpus), "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
        "-kernel", f"{GUESTS}/{guest}.elf32", "-append", words)


@machine_test(engine="qemu", seconds=3)
def guests_run_without_umbra(machine):
    run = natively(machine, "hello", "exit=4 cpus=2", 2)
    run.ended_with(9)
    run.printed("^tsc [0-9]+ Hz \\(PIT\\)$")
    run.printed("^timer one-shot, ")
    run.guest_verdict()
    natively(machine, "ring", "cpus=2 laps=20 mark=20", 2).guest_verdict()


@machine_test(seconds=4)
def faults_are_what_a_machine_makes_of_them(machine):
    """The verdicts that faults.c expects are not Umbra's inventions: here it
    is booted in Umbra's place, and its ways are words of Umbra's."""
    for way in ("read-outside", "write-outside", "port", "msr", "state",
                "vmx", "string-storm", "timer-storm"):
        run = machine.run(f"{GUESTS}/hello.elf", "--set",
                          f"host.image={GUESTS}/faults.elf32", "--set",
                          f"umbra.{way}=1", "--set", "umbra.n=500")
        run.said(rf"^faults: {way}$")
        run.said(r"^RESULT PASS (\d+)/\1$")
