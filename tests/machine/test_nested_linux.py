# SPDX-License-Identifier: MIT
"""Debian's Linux with its own KVM, all at default, as a guest of Umbra's that
runs guests: a small program on the KVM interface (kvm_small.c)."""

import linux
from lib import machine_test

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
