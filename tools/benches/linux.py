# SPDX-License-Identifier: MIT
"""Debian's Linux from its first instruction to a shell, with Umbra and on the
bare machine."""

import re

import debian
import initramfs
import tree

from .row import Row, Trouble, Unmeasurable

TITLE = "Debian's Linux from its entry to a shell"
ORDER = 40

#: Both boots see this machine, and this clock. The bare kernel must be told
#: the clock, because this CPU's CPUID names its model's, must not see what the
#: emulator's CPUID says of XSAVEC, which the kernel finds wrong, and needs
#: MSRs that the emulator lacks.
_HOST = ("--set", "host.ips=50000000")
_CPU = "host.cpu=corei7_skylake_x"
_WORDS = "console=ttyS0 quiet"
_BARE_WORDS = "tsc_early_khz=50000 clearcpuid=xsavec,xsaves"
_TARGET = 1.5
_ENTRY = re.compile(r"^.*linux: entry at tsc (\d+)$", re.MULTILINE)


def _files():
    try:
        disk = initramfs.Initramfs(debian.kernel())
        disk.program(tree.ROOT / "build/guests/linux/ticks")
        disk.script = "ticks; sleep 1; poweroff -f"
        return disk.kernel, disk.write(tree.ROOT / "build/linux/bench.cpio")
    except debian.Unavailable as reason:
        raise Unmeasurable(f"no Debian kernel: {reason}") from None


def measure(bench):
    kernel, disk = _files()
    words = ("./umbra", "run", kernel.image, "--initrd", disk, "--mem", "256M",
             "--timeout", 200, *_HOST)
    bare = bench.command(
        *words, "--append", f"{_WORDS} {_BARE_WORDS}", "--set", _CPU,
        "--set", "host.image=build/guests/linux.elf32", "--set",
        "host.unknown_msrs=ignored", "--set", "umbra.apic=x", limit=220)
    entry = _ENTRY.search(bare.text)
    if not entry:
        raise Trouble(f"the bare kernel was not started: {bare.text[-500:]!r}")
    limit = bare.cost("shell").ticks - int(entry[1])
    run = bench.command(*words, "--append", _WORDS, "--set", _CPU, "--set",
                        "bench=on", limit=220)
    cost = run.cost("shell")
    yield Row("boot to a shell, one CPU", umbra=cost.ticks / 1e6,
              limit=limit / 1e6, target=_TARGET * limit / 1e6,
              unit="M ticks", exits=cost.exits, flushes=cost.flushes,
              ipis=cost.ipis)
    yield Row("the same, as a multiple of the bare machine's",
              umbra=cost.ticks / limit, target=_TARGET, unit="times")
