# SPDX-License-Identifier: MIT
"""Debian's Linux with its own KVM, all at default, as a guest of Umbra's that
runs guests: a small program on the KVM interface (kvm_small.c)."""

import linux
from lib import Run, ROOT, check, machine_test


def runs_small_guests(machine, *options, rounds):
    machine.command("make", "-s", "SETUP=no", "linux-programs")
    disk = linux.new_disk()
    disk.module("kvm-intel")
    disk.program(ROOT / "build/linux/kvm_small")
    with linux.boot(machine, disk, *options) as talk:
        shell = linux.Shell(talk)
        for parameter in ("ept", "eptad", "pml", "vpid", "nested",
                          "unrestricted_guest", "enable_shadow_vmcs"):
            value = shell.run("cat /sys/module/kvm_intel/parameters/"
                              f"{parameter}")
            check(value == "Y\n", f"{parameter} is {value!r}")
        for count in rounds:
            said = shell.run(f"kvm_small 100 {count}")
            check(said == f"kvm_small: PASS 100 pages, {count} rounds\n",
                  f"the program says {said!r}")
        shell.power_off()
        run = Run.of(talk)
    run.ended_with(0)
    run.never_said("error:")


@machine_test(seconds=45, limit=400, long=True)
def linux_runs_a_guest(machine):
    runs_small_guests(machine, "--mem", "256M", rounds=(1, 20))


@machine_test(seconds=60, limit=600)
def linux_on_two_cpus_runs_guests(machine):
    runs_small_guests(machine, "--mem", "256M", "--cpus", "2", rounds=(1, 20))
