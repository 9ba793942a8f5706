# SPDX-License-Identifier: MIT
"""The interface of Hyper-V that a guest gets with hyperv=on, and enlightened
VMCSs, with Linux's own KVM as their user."""

import linux
from lib import machine_test


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
    # Its PML would log into a page that an enlightened VMCS cannot name.
    return linux.runs_small_guests(
        machine, "--set", "hyperv=on", *options, rounds=rounds,
        parameters={"enlightened_vmcs": "Y", "ept": "Y", "vpid": "Y",
                    "pml": "N"},
        said=("Hypervisor detected: Microsoft Hyper-V",
              "using Hyper-V Enlightened VMCS"))


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
