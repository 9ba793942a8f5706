# SPDX-License-Identifier: MIT
"""Debian's Linux as a guest: what tests that boot it share.

    disk = linux.new_disk()                 an initramfs.Initramfs: add to it
    with linux.boot(machine, disk, "--cpus", "2") as talk:
        shell = linux.Shell(talk)           waits for the prompt
        shell.run("uname -r")               what the command printed
        shell.power_off()
        Run.of(talk).ended_with(0)
"""

import re
import sys

from lib import ROOT, Run, Skip, check

sys.path.insert(0, str(ROOT / "tools"))

import debian  # noqa: E402  (the folder must be on the path first)
import initramfs  # noqa: E402

#: As fast a CPU as makes the emulator's devices neither slow nor hasty.
IPS = 50_000_000

#: What a kernel is told that is to show how it boots.
PLAIN = "console=ttyS0"

#: And one that need not: without its self-tests of ciphers, which are half of
#: the time until the shell comes.
QUICK = PLAIN + " cryptomgr.notests"
_SAID_OF_QUICK = "alg: self-tests disabled"


def kernel(flavour="cloud-amd64"):
    try:
        return debian.kernel(flavour)
    except debian.Unavailable as reason:
        raise Skip(f"no Debian kernel: {reason}") from None


def new_disk(flavour="cloud-amd64"):
    """An initramfs.Initramfs to add to."""
    return initramfs.Initramfs(kernel(flavour))


def boot(machine, disk, *options, append=PLAIN):
    """./umbra run of the disk's kernel, for a `with` block."""
    path = disk.write(machine.folder / "linux.cpio")
    return machine.talk(disk.kernel.image, "--initrd", path, "--append",
                        append, "--set", f"host.ips={IPS}", *options)


class Shell:
    """Types at the busybox shell that the initial RAM disk ends in; with
    several of them, where --set input= says, once all have come up."""

    def __init__(self, talk, shells=1):
        self._talk = talk
        self._at = 0
        self._count = 0
        for _ in range(shells):
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
    """The kernel runs on as many CPUs, and each takes its timer's
    interrupts."""
    online = shell.run("grep -c ^processor /proc/cpuinfo").strip()
    check(online == str(count), f"Linux sees {online} CPUs, not {count}")
    ticks = shell.run("grep LOC: /proc/interrupts").split()[1:count + 1]
    check(len(ticks) == count and all(int(number) > 10 for number in ticks),
          f"not every CPU's timer runs: {ticks}")


def new_disk_with_kvm(machine):
    """One with Linux's own KVM and a small program that uses it."""
    machine.command("make", "-s", "SETUP=no", "linux-programs")
    disk = new_disk()
    disk.module("kvm-intel")
    disk.program(ROOT / "build/linux/kvm_small")
    return disk


def runs_small_guests(machine, *options, rounds, parameters, said=()):
    """KVM is loaded with these parameters, the kernel's log says so, and each
    of its guests makes its rounds."""
    disk = new_disk_with_kvm(machine)
    with boot(machine, disk, *options, append=QUICK) as talk:
        shell = Shell(talk)
        log = shell.run("dmesg")
        for words in said:
            check(words in log, f"Linux does not say {words!r}")
        for parameter, wanted in parameters.items():
            value = shell.run("cat /sys/module/kvm_intel/parameters/"
                              f"{parameter}")
            check(value == f"{wanted}\n", f"{parameter} is {value!r}")
        for count in rounds:
            end = shell.run(f"kvm_small 100 {count}")
            check(end == f"kvm_small: PASS 100 pages, {count} rounds\n",
                  f"the program says {end!r}")
        shell.power_off()
        run = Run.of(talk)
    run.ended_with(0)
    run.never_said("error:")
    return run


#: What a user would ask about, at whatever level the kernel says it.
_COMPLAINT = re.compile(
    r"fail|error|warn|invalid\b|unsupported|n[o']t support|\bbugs?\b|broken|"
    r"vulnerable|unknown|\bblank|corrupt|missing|\bno \S+ found|not present|"
    r"incorrect|unable|cannot|can't|timed? ?out|stuck|spurious|unstable|"
    r"\blost\b|not using|skipping|disabl", re.IGNORECASE)
_WARNING = 4  # levels up to here are meant to be seen
_ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def explained():
    """What docs/GUESTS.md lists: the beginnings of lines."""
    text = (ROOT / "docs/GUESTS.md").read_text("utf-8")
    section = text.split("\n## What Linux says\n")[1].split("\n## ")[0]
    return tuple(_ROW.findall(section))


def complaints(log):
    """Lines of `dmesg -r` that would worry a user and that no document
    explains."""
    known = (*explained(), _SAID_OF_QUICK)
    for line in log.splitlines():
        found = re.match(r"<(\d+)>\[[ \d.]+\] (.*)", line)
        if not found:
            continue
        level, text = int(found[1]) & 7, found[2]
        if ((level <= _WARNING or _COMPLAINT.search(text))
                and not text.startswith(known)):
            yield text


def has_no_complaint(shell):
    found = list(complaints(shell.run("dmesg -r")))
    check(not found, f"docs/GUESTS.md does not explain: {' / '.join(found)}")
