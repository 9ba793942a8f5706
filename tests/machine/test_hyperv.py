# SPDX-License-Identifier: MIT
"""The interface of Hyper-V that a guest gets with hyperv=on, and enlightened
VMCSs, with Linux's own KVM as their user."""

import linux
from lib import Run, ROOT, check, machine_test

PARAMETERS = "/sys/module/kvm_intel/parameters/"


def looks(machine, words, ips, *options):
    run = machine.run("build/guests/hyperv.elf", "--append", words, "--mem",
                      "8M", "--set", f"host.ips={ips}", *options)
    run.guest_verdict()


@machine_test(seconds=4)
def interface_is_as_specified(machine):
    """In both modes of the local APIC; where the TSC is slower than the
    reference time's unit, too; and made anew all the time."""
    for words, ips, options in (("", 20_000_000, ("--cpus", "2")),
                                ("apic=x", 20_000_000, ("--cpus", "2")),
                                ("", 5_000_000, ()),
                                ("", 20_000_000,
                                 ("--set", "record.loop=60",
                                  "--set", "record.wait=1000000"))):
        looks(machine, words, ips, "--set", "hyperv=on", *options)


@machine_test(seconds=2)
def without_the_setting_there_is_no_interface(machine):
    looks(machine, "none", 20_000_000)
    looks(machine, "none", 20_000_000, "--set", "hyperv=off")


def kvm_on_hyperv(machine, *options, rounds):
    machine.command("make", "-s", "SETUP=no", "linux-programs")
    disk = linux.new_disk()
    disk.module("kvm-intel")
    disk.program(ROOT / "build/linux/kvm_small")
    with linux.boot(machine, disk, "--set", "hyperv=on", *options) as talk:
        shell = linux.Shell(talk)
        log = shell.run("dmesg")
        for said in ("Hypervisor detected: Microsoft Hyper-V",
                     "using Hyper-V Enlightened VMCS"):
            check(said in log, f"Linux does not say {said!r}")
        # It would log into a page that an enlightened VMCS cannot name.
        for parameter, wanted in (("enlightened_vmcs", "Y"), ("ept", "Y"),
                                  ("vpid", "Y"), ("pml", "N")):
            value = shell.run(f"cat {PARAMETERS}{parameter}")
            check(value == f"{wanted}\n", f"{parameter} is {value!r}")
        for count in rounds:
            said = shell.run(f"kvm_small 100 {count}")
            check(said == f"kvm_small: PASS 100 pages, {count} rounds\n",
                  f"the program says {said!r}")
        shell.power_off()
        run = Run.of(talk)
    run.ended_with(0)
    run.never_said("error:")
    return run


@machine_test(seconds=45, limit=400)
def linux_kvm_uses_enlightened_vmcs(machine):
    kvm_on_hyperv(machine, "--mem", "256M", rounds=(1, 20))


@machine_test(seconds=60, limit=600, long=True)
def enlightened_vmcs_is_made_anew_again_and_again(machine):
    run = kvm_on_hyperv(machine, "--mem", "256M", "--set",
                        "record.loop=1000000", rounds=(1, 20, 20))
    run.said(r"record: \d+ rounds, .*identical")
    run.said(r"record: \d+ in L1 with an enlightened VMCS")
    run.said(r"record: \d+ in L2 of an enlightened VMCS")
