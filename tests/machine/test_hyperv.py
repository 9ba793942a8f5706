# SPDX-License-Identifier: MIT
"""The interface of Hyper-V that a guest gets with hyperv=on, and enlightened
VMCSs, with Linux's own KVM as their user."""

import linux
from lib import Run, ROOT, check, machine_test

PARAMETERS = "/sys/module/kvm_intel/parameters/"


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
