# SPDX-License-Identifier: MIT
"""Kernels of other people's, as Debian's packages have them."""

import linux
from lib import Run, Skip, machine_test
from talk import QUIT


def file_of(package, path):
    try:
        return linux.debian.unpacked(package) / path
    except linux.debian.Unavailable as reason:
        raise Skip(f"no package {package}: {reason}") from None


@machine_test(seconds=25, limit=120, long=True)
def memtest_is_a_bzimage_that_tests_the_guests_memory(machine):
    """It has its own idea of CPUID, caches, SMP tables and the UART."""
    with machine.talk(file_of("memtest86+", "boot/memtest86+x64.bin"),
                      "--append", "console=ttyS0,115200", "--mem", "64M",
                      "--set", f"host.ips={linux.IPS}") as talk:
        for mark in (r"Memtest86\+ v", r"Umbra Virtual CPU \(",
                     r"Memory  : +6[34]MB", "Errors: 0"):
            talk.expect(mark)
        talk.type(QUIT)
        run = Run.of(talk)
    run.never_said("is stopped")


@machine_test(seconds=6, limit=60, long=True)
def multiboot_kernel_of_a_package_runs(machine):
    """GRUB Invaders draws on a screen that is not there, for ever."""
    run = machine.run(file_of("grub-invaders", "boot/invaders.exec"),
                      "--mem", "16M", "--timeout", "5")
    run.ended_with(124)
    run.said("^umbra: guest invaders starts: ")
    run.never_said("is stopped")
