# SPDX-License-Identifier: MIT
"""Debian's Linux, as the package has it, with no word on its command line but
where its console is: it boots to a shell, does what is typed, says nothing that
would worry a user, and powers off through ACPI. With four CPUs it leaves out
its self-tests of ciphers, which two have done."""

import linux
from lib import Run, Skip, check, machine_test


def ends_well(talk, shell):
    shell.power_off()
    run = Run.of(talk)
    run.ended_with(0)
    run.printed("reboot: Power down$")
    run.said("has ended: it powered off; status 0$")
    run.never_said("error:")


def comes_to_a_shell(machine, cpus, memory, flavour="cloud-amd64",
                     append=linux.PLAIN):
    disk = linux.new_disk(flavour)
    with linux.boot(machine, disk, "--cpus", str(cpus), "--mem", memory,
                    append=append) as talk:
        shell = linux.Shell(talk)
        check(shell.run("uname -r") == f"{disk.kernel.version}\n",
              "this is another kernel")
        check(shell.run("cat /proc/cmdline") == f"{append}\n",
              "it has another command line")
        linux.has_cpus(shell, cpus)
        linux.has_no_complaint(shell)
        ends_well(talk, shell)


@machine_test(seconds=35, limit=300)
def one_cpu_comes_to_a_shell(machine):
    comes_to_a_shell(machine, 1, "256M")


@machine_test(seconds=60, limit=400)
def two_cpus_and_the_virtio_console(machine):
    """The kernel's own driver finds both ports; what is typed goes to hvc0."""
    disk = linux.new_disk()
    disk.module("virtio_pci")
    disk.module("virtio_console")
    disk.shells.append("hvc0")
    with linux.boot(machine, disk, "--cpus", "2", "--mem", "512M", "--set",
                    "input=hvc0") as talk:
        shell = linux.Shell(talk, shells=2)
        check(shell.run("tty") == "/dev/hvc0\n", "this is not hvc0")
        check(shell.run("cat /sys/class/virtio-ports/vport0p1/name") ==
              "umbra.0\n", "port 1 has another name")
        check("virtio0-input" in shell.run("cat /proc/interrupts"),
              "the console's queue has no MSI-X vector of its own")
        long_text = "0123456789" * 80  # the shell takes 1023
        check(shell.run(f"echo {long_text}") == f"{long_text}\n",
              "something typed or printed is lost")
        linux.has_cpus(shell, 2)
        linux.has_no_complaint(shell)
        ends_well(talk, shell)


@machine_test(seconds=60, limit=600)
def four_cpus_come_to_a_shell(machine):
    comes_to_a_shell(machine, 4, "1G", append=linux.QUICK)


@machine_test(seconds=120, limit=900, long=True)
def full_kernel_comes_to_a_shell(machine):
    """linux-image-amd64, with drivers for everything."""
    comes_to_a_shell(machine, 1, "1536M", "amd64")


@machine_test(seconds=60, limit=600, long=True)
def two_gib_come_to_a_shell(machine):
    """In Bochs 3 (UMBRA_BOCHS=), as 2.7 loses memory beyond 2 GiB."""
    if "loses" in machine.run("build/guests/hello.elf", "--mem", "2G").err:
        raise Skip("Bochs 2 cannot hold it; set UMBRA_BOCHS to a Bochs 3")
    comes_to_a_shell(machine, 2, "2G")
