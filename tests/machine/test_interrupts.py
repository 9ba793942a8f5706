# SPDX-License-Identifier: MIT
"""Local APICs (guests/interrupts.c): the same whether the CPU virtualizes them,
Umbra emulates them, or there is neither."""

from lib import check, machine_test

GUEST = "build/guests/interrupts.elf"
HELLO = "build/guests/hello.elf"
MACHINE = ("--mem", "8M", "--set", "host.ips=20000000")

#: Each is a case of the guest; what a hypervisor is needed for comes last.
CASES = ("registers", "faults", "self", "masked", "priority", "nesting",
         "sleep", "timer", "level", "pic", "text", "others", "odd", "moved")

TIGER = ("--set", "host.cpu=tigerlake")
#: Has the TPR shadow and neither register virtualization nor delivery.
TPR_ONLY = ("--set", "host.cpu=corei3_cnl")
OFF = ("--set", "umbra.apicv=off")
#: Bochs' own delivery, which takes `masked` amiss: see docs/TESTING.md.
DELIVERY = (*TIGER, "--set", "umbra.apicv=on")
ALL_BUT_MASKED = tuple(case for case in CASES if case != "masked")


def interrupts(machine, words, *options, cases=CASES):
    run = machine.run(GUEST, "--cpus", "2", "--append",
                      " ".join((words, *cases)), *MACHINE, *options)
    run.ended_with(1)
    run.guest_verdict()
    for case in cases:
        run.printed(f"^interrupts: {case}$")
    if "text" in cases:
        run.printed("^text by the I/O APIC's interrupts alone$")
        run.printed("^text by the PIC's interrupts alone$")
    return run


@machine_test(seconds=3)
def cpu_delivers_interrupts(machine):
    run = interrupts(machine, "", *DELIVERY, cases=ALL_BUT_MASKED)
    run.said("^umbra: VMX: virtual-interrupt delivery: yes$")
    run.printed("^mode x2APIC$")


@machine_test(seconds=3)
def cpu_delivers_interrupts_of_an_xapic(machine):
    run = interrupts(machine, "apic=x", *DELIVERY, cases=ALL_BUT_MASKED)
    run.printed("^mode xAPIC$")


@machine_test(seconds=4)
def what_bochs_does_wrong_is_left_out(machine):
    """The vector that waits comes to a CPU whose interrupts are off."""
    for words, mode in (("", "x2APIC"), ("apic=x", "xAPIC")):
        run = interrupts(machine, words, *TIGER)
        run.said("^umbra: VMX: virtual-interrupt delivery: yes; left out, ")
        run.printed(f"^mode {mode}$")


@machine_test(seconds=2)
def bochs_still_does_it_wrong(machine):
    """When this fails, apicv=auto can be the same as apicv=on again."""
    run = machine.run(GUEST, "--append", "masked", *MACHINE, *DELIVERY)
    run.printed(r"^FAIL does not come: 0x1 instead of 0$")


@machine_test(seconds=5)
def cpu_without_delivery_has_the_tpr(machine):
    for words in ("", "apic=x"):
        run = interrupts(machine, words, *TPR_ONLY)
        run.said("^umbra: VMX: virtual APIC: yes$")
        run.said("^umbra: VMX: virtual-interrupt delivery: no; ")


@machine_test(seconds=5)
def apicv_off_emulates_all(machine):
    for words in ("", "apic=x"):
        run = interrupts(machine, words, *OFF)
        run.said(r"^umbra: VMX: virtual APICs are switched off \(apicv=off\)$")


@machine_test(seconds=4)
def machine_itself_does_the_same(machine):
    """Booted in Umbra's place, with its own words for Umbra's."""
    for words in ((), ("--set", "umbra.apic=x")):
        run = machine.run(HELLO, "--set", f"host.image={GUEST}32", *words,
                          "--set", "host.cpus=2", "--set",
                          "host.ips=20000000")
        run.said(r"^RESULT PASS (\d+)/\1$")


@machine_test(seconds=6)
def apic_that_the_cpu_works_is_saved_whole(machine):
    """Saved, made anew, saved again, compared, while interrupts come."""
    for words in ("self sleep priority n=600", "apic=x self sleep n=400"):
        run = machine.run(GUEST, "--append", words, *MACHINE, *DELIVERY,
                          "--set", "record.loop=1000")
        run.ended_with(1)
        run.guest_verdict()
        rounds = int(run.said(r"^umbra: record: (\d+) rounds, \d+ bytes "
                              "each: identical$")[1])
        check(rounds >= 20, f"only {rounds} rounds before the guest's end")
