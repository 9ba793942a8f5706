# SPDX-License-Identifier: MIT
"""What neighbours take of a CPU that a guest shares with them."""

import re

from .row import Row, Trouble

TITLE = "A working guest beside others on one CPU, shares it has to wait for"
ORDER = 60

_RING = "build/guests/ring.elf"
_FAULTS = "build/guests/faults.elf"
_WORK = "mb=1 mark=0 laps=2000"
_SETTINGS = ("--mem", "4M", "--set", "host.ips=20000000")
_ENDED = re.compile(r"RING ended after (\d+) us$", re.MULTILINE)

#: What the neighbour does, in words and as it is told. It ends by itself, but
#: late enough.
_NEIGHBOURS = (
    ("one that works, too", f"{_RING}:{_WORK}", 2),
    ("one that asks CPUID all the time", f"{_FAULTS}:cpuid-storm n=150000", 2),
    ("one that interrupts itself", f"{_FAULTS}:interrupt-storm n=10000", 2),
    ("one with a timer that is always due", f"{_FAULTS}:timer-storm n=15000",
     2),
)


def _times(bench, *options):
    """Without the counters, which are for one guest."""
    run = bench.command("./umbra", "run", _RING, "--append", _WORK,
                        "--timeout", 200, *options, *_SETTINGS)
    times = [int(time) for time in _ENDED.findall(run.text)]
    if run.status != 1 or not times:
        raise Trouble(f"`{' '.join(run.words)}` ended with {run.status}: "
                      f"{run.text[-300:]!r}")
    return times


def measure(bench):
    """A share of 1 is the CPU to itself; its neighbour doubles that, and what
    is above 2 is what the neighbour has taken besides."""
    bench.progress("a guest alone")
    alone = _times(bench)[0]
    for what, neighbour, fair in _NEIGHBOURS:
        bench.progress(what)
        times = _times(bench, "--guest", neighbour)
        yield Row(f"beside {what}", umbra=times[0] / alone, limit=fair,
                  target=fair * 1.1, unit="shares")
    bench.progress("eight on two CPUs")
    more = [word for _ in range(7) for word in ("--guest", f"{_RING}:{_WORK}")]
    times = _times(bench, *more, "--set", "host.cpus=2")
    yield Row("the last of eight that work, on two CPUs",
              umbra=max(times) / alone, limit=4, target=4.4, unit="shares")
    yield Row("its distance to the first", unit="%", target=20,
              umbra=100 * (max(times) - min(times)) / min(times))
