# SPDX-License-Identifier: MIT
"""Kernels of other people's, as Debian's packages have them."""

import linux
from lib import Skip, machine_test


def file_of(package, path):
    try:
        return linux.debian.unpacked(package) / path
    except linux.debian.Unavailable as reason:
        raise Skip(f"no package {package}: {reason}") from None


@machine_test(seconds=25, limit=120, long=True)
def memtest_is_a_bzimage_that_tests_the_guests_memory(machine):
    """It has its own idea of CPUID, caches, SMP tables and the UART."""
    run = machine.run(file_of("memtest86+", "boot/memtest86+x64.bin"),
                      "--append", "console=ttyS0,115200", "--mem", "64M",
                      "--timeout", "20", "--set", f"host.ips={linux.IPS}")
    run.ended_with(124)
    run.printed(r"Memtest86\+ v")
    run.printed(r"Umbra Virtual CPU \(")
    run.printed(r"Memory  : +6[34]MB")
    run.printed("Errors: 0")
    run.never_said("is stopped")


@machine_test(seconds=6, limit=60, long=True)
def multiboot_kernel_of_a_package_runs(machine):
    """GRUB Invaders draws on a screen that is not there, for ever."""
    run = machine.run(file_of("grub-invaders", "boot/invaders.exec"),
                      "--mem", "16M", "--timeout", "5")
    run.ended_with(124)
    run.said("^umbra: guest invaders starts: ")
    run.never_said("is stopped")
