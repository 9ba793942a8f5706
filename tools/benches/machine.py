# SPDX-License-Identifier: MIT
"""What a section measures with: runs of Umbra, and of guests without it."""

import dataclasses
import re
import subprocess
import sys
import time

import tree

from .row import Trouble

#: So slow are the devices that the console's timers do not disturb; and as
#: KVM was measured.
_SETTINGS = ("--set", "bench=on", "--set", "host.ips=50000000", "--set",
             "umbra.mitigations=off")
#: A guest that is no hypervisor, in a VM that could not hold one.
PLAIN = ("--no-nested",)

#: A guest's line (guests/lib/bench.h).
_LINE = re.compile(r"^ticks (\S+) ([\d.]+) times (\d+)"
                   r"(?: exits (\d+) flushes (\d+) ipis (\d+))?$",
                   re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a guest has measured: ticks for each piece of work, and how many
    exits and the like there were for all of them."""
    ticks: float
    times: int
    exits: int = None
    flushes: int = None
    ipis: int = None

    def counts(self):
        """For a Row."""
        return {"times": self.times, "exits": self.exits,
                "flushes": self.flushes, "ipis": self.ipis}


class Run:
    """What came out of a run."""

    def __init__(self, words, status, text):
        self.words = words
        self.status = status
        self.text = text
        self._costs = {name: Cost(float(ticks), *(int(count) for count in counts
                                                  if count))
                       for name, ticks, *counts in _LINE.findall(text)}

    def find(self, name):
        """Its Cost, or None where the guest cannot do it."""
        return self._costs.get(name)

    def cost(self, name):
        if name not in self._costs:
            raise Trouble(f"`{' '.join(self.words)}` has not measured {name}; "
                          f"its last words: {self.text[-300:]!r}")
        return self._costs[name]


class Bench:
    """Handed to a section's measure()."""

    def __init__(self, section, quiet=False):
        self._section = section
        self._quiet = quiet
        self._start = time.monotonic()

    def progress(self, text):
        if not self._quiet:
            print(f"[{time.monotonic() - self._start:6.1f} s] "
                  f"{self._section}: {text}", file=sys.stderr, flush=True)

    def command(self, *words, limit=300):
        """Any program, to its end; what it printed is the run's text."""
        words = [str(word) for word in words]
        self.progress(" ".join(words))
        try:
            done = subprocess.run(words, cwd=tree.ROOT, text=True,
                                  errors="replace", stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, check=False,
                                  stderr=subprocess.STDOUT, timeout=limit)
        except subprocess.TimeoutExpired:
            raise Trouble(f"`{' '.join(words)}` did not end within {limit} s"
                          ) from None
        return Run(words, done.returncode, done.stdout)

    def run(self, guest, *options, limit=300):
        """./umbra run of a guest of ours that counts what it costs and ends
        well."""
        run = self.command("./umbra", "run", guest, "--timeout", limit,
                           *_SETTINGS, *options, limit=limit + 30)
        if run.status != 1 or not re.search(r"^RESULT PASS ", run.text,
                                            re.MULTILINE):
            raise Trouble(f"`{' '.join(run.words)}` ended with {run.status}: "
                          f"{run.text[-500:]}")
        return run

    def run_bare(self, guest, *words, limit=300):
        """The same guest in the emulator in Umbra's place: the limit. `words`
        are KEY=VALUE of its command line."""
        settings = [part for word in words for part in ("--set",
                                                        f"umbra.{word}")]
        run = self.command("./umbra", "run", "build/guests/hello.elf",
                           "--timeout", limit, "--set",
                           f"host.image=build/guests/{guest}.elf32", *settings,
                           limit=limit + 30)
        if not re.search(r"^RESULT PASS ", run.text, re.MULTILINE):
            raise Trouble(f"`{' '.join(run.words)}`: {run.text[-500:]}")
        return run
