# SPDX-License-Identifier: MIT
"""Debian's Linux, as the package has it, with no word on its command line but
where its console is: it boots to a shell, does what is typed, and powers off
through ACPI."""

import linux
from lib import Run, check, machine_test


def comes_to_a_shell(machine, cpus, memory):
    disk = linux.new_disk()
    with linux.boot(machine, disk, "--cpus", str(cpus), "--mem",
                    memory) as talk:
        shell = linux.Shell(talk)
        check(shell.run("uname -r") == f"{disk.kernel.version}\n",
              "this is another kernel")
        check(shell.run("cat /proc/cmdline") == "console=ttyS0\n",
              "it has another command line")
        linux.has_cpus(shell, cpus)
        shell.power_off()
        run = Run.of(talk)
    run.ended_with(0)
    run.printed("reboot: Power down$")
    run.said("has ended: it powered off; status 0$")
    run.never_said("error:")


@machine_test(seconds=35, limit=300)
def one_cpu_comes_to_a_shell(machine):
    comes_to_a_shell(machine, 1, "256M")


@machine_test(seconds=70, limit=600)
def two_cpus_come_to_a_shell(machine):
    comes_to_a_shell(machine, 2, "512M")
