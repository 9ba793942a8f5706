# SPDX-License-Identifier: MIT
"""Debian's Linux as a guest: what tests that boot it share.

    disk = linux.new_disk()                 an initramfs.Initramfs: add to it
    with linux.boot(machine, disk, "--cpus", "2") as talk:
        shell = linux.Shell(talk)           waits for the prompt
        shell.run("uname -r")               what the command printed
        shell.power_off()
        Run.of(talk).ended_with(0)
"""

import pathlib
import re
import sys

from lib import Skip, check

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import debian  # noqa: E402  (the folder must be on the path first)
import initramfs  # noqa: E402

#: As fast a CPU as makes the emulator's devices neither slow nor hasty.
IPS = 50_000_000


def kernel(flavour="cloud-amd64"):
    try:
        return debian.kernel(flavour)
    except debian.Unavailable as reason:
        raise Skip(f"no Debian kernel: {reason}") from None


def new_disk(flavour="cloud-amd64"):
    """An initramfs.Initramfs to add to."""
    return initramfs.Initramfs(kernel(flavour))


def boot(machine, disk, *options, append="console=ttyS0"):
    """./umbra run of the disk's kernel, for a `with` block."""
    path = disk.write(machine.folder / "linux.cpio")
    return machine.talk(disk.kernel.image, "--initrd", path, "--append",
                        append, "--set", f"host.ips={IPS}", *options)


class Shell:
    """Types at the busybox shell that the initial RAM disk ends in."""

    def __init__(self, talk):
        self._talk = talk
        self._at = 0
        self._count = 0
        self._wait(re.escape(initramfs.PROMPT))

    def run(self, command):
        """What the command printed."""
        self._count += 1
        # What is echoed while it is typed does not hold the marks.
        self._talk.type(f"echo begin''-{self._count}; {command}; "
                        f"echo end''-{self._count}\r")
        return self._wait(rf"^begin-{self._count}\n((?s:.*?))"
                          rf"^end-{self._count}$")[1]

    def power_off(self):
        self._talk.type("poweroff -f\r")

    def _wait(self, pattern):
        found = self._talk.expect(pattern, after=self._at)
        self._at = found.end()
        return found


def has_cpus(shell, count):
    """The kernel runs on as many CPUs, and each has done some work."""
    online = shell.run("grep -c ^processor /proc/cpuinfo").strip()
    check(online == str(count), f"Linux sees {online} CPUs, not {count}")
