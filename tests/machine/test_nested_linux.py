# SPDX-License-Identifier: MIT
"""Debian's Linux with its own KVM, all at default, as a guest of Umbra's that
runs guests: a small program on the KVM interface (kvm_small.c), and Debian's
QEMU with a Linux in it."""

import re

import linux
import linux_qemu
from lib import Run, check, machine_test

DEFAULTS = dict.fromkeys(("ept", "eptad", "pml", "vpid", "nested",
                          "unrestricted_guest", "enable_shadow_vmcs"), "Y")


@machine_test(seconds=45, limit=400, long=True)
def linux_runs_a_guest(machine):
    linux.runs_small_guests(machine, "--mem", "256M", rounds=(1, 20),
                            parameters=DEFAULTS)


@machine_test(seconds=60, limit=600)
def linux_on_two_cpus_runs_guests(machine):
    linux.runs_small_guests(machine, "--mem", "256M", "--cpus", "2",
                            rounds=(1, 20), parameters=DEFAULTS)


def _runs_linux_in_qemu(machine, *options, cpus):
    disk = linux_qemu.new_disk(machine, cpus)
    with linux.boot(machine, disk, "--mem", "512M", *options,
                    append=linux.QUICK) as talk:
        shell = linux.Shell(talk)
        said = shell.run("qemu; echo QEMU ends with $?")
        log = shell.run("dmesg")
        shell.power_off()
        run = Run.of(talk)
    for mark in (rf"^l2: CPUs {cpus}$", r"^l2: hypervisor$", r"^l2: init done$",
                 r"reboot: Power down", r"^QEMU ends with 0$"):
        check(re.search(mark, said, re.MULTILINE),
              f"nothing in L2 matches {mark!r}")
    for bad in ("WARNING:", "BUG:", "Call Trace:"):
        check(bad not in log and bad not in said, f"Linux says {bad!r}")
    run.ended_with(0)
    run.never_said("error:")


@machine_test(seconds=300, limit=1800, long=True)
def linux_runs_linux_in_qemu(machine):
    _runs_linux_in_qemu(machine, cpus=1)


@machine_test(seconds=600, limit=3000, long=True)
def linux_on_two_cpus_runs_linux_in_qemu(machine):
    _runs_linux_in_qemu(machine, "--cpus", "2", cpus=2)
