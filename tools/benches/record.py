# SPDX-License-Identifier: MIT
"""The state record: what it costs to save a VM and to make it anew, and what
nested VMX has of that. guests/l1moments.c, at each of its exits."""

import re

from .row import Row, Trouble

TITLE = "State record: saving a VM and making it anew, ticks"
ORDER = 46

_GUEST = "build/guests/l1moments.elf"


def _numbers(run, pattern):
    found = re.search(f"record: {pattern}", run.text)
    if not found:
        raise Trouble(f"nothing matches {pattern!r}")
    return [int(number) for number in found.groups()]


def measure(bench):
    bench.progress("a hypervisor, made anew at each exit ...")
    run = bench.run(_GUEST, "--append", "mtf", "--mem", "32M", "--set",
                    "umbra.mtf=on", "--set", "record.loop=2000", "--set",
                    "record.at=exits")
    save, restore = _numbers(run, r"saved in (\d+) ticks, restored in (\d+)")
    yield Row("a VM of one vCPU that is a hypervisor: saved", umbra=save)
    yield Row("the same, restored", umbra=restore, target=87000)
    for where in ("L1", "L2"):
        saved, read, loaded = _numbers(
            run, rf"nested VMX in {where}, \d+ rounds: saved in (\d+) ticks, "
            r"read in (\d+), loaded in (\d+)")
        yield Row(f"of that nested VMX, in {where}: saved", umbra=saved)
        yield Row("read and checked", umbra=read)
        yield Row("loaded into the CPU, vmcs02 made", umbra=loaded)
        yield Row(f"nested VMX, in {where}: all of that",
                  umbra=saved + read + loaded, target=50000)
