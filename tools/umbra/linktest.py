# SPDX-License-Identifier: MIT
"""Two machines without guests that send each other bytes over their link
(core/linktest.h)."""

import contextlib
import os
import re
import selectors
import time
from dataclasses import dataclass

from . import engines, joint, machine as machines, sizes
from .children import Child, work_directory
from .line import Line
from .trouble import Trouble

_IMAGE = os.path.join("build", "umbra.elf")
_MEMORY = 64 * sizes.MIB
_GOOD = re.compile(r"linktest: good: (.*)\n")
_CARRIED = re.compile(r"linktest: good: (\d+) bytes over the bare device")
_MEASURED = re.compile(r"linktest: ticks per .*\n")
_FAILED = re.compile(r"linktest: failed: (.*)\n")


class Side:
    """One of the two machines, its console, and what it said when."""

    def __init__(self, engine, link, words, directory, root, selector):
        os.mkdir(directory)
        self.text = ""
        self.begun = None
        self.ended = None
        self._line = Line(selector, self._on_data)
        machine = machines.Machine(
            image=os.path.join(root, _IMAGE), memory=_MEMORY, cpus=1,
            modules=[], command_line=f"exit={engine.EXIT} {words}", link=link)
        argv = engine.command(machine, directory, self._line.port, root)
        self._child = Child(argv, directory,
                            os.path.join(directory, "engine.out"))

    def close(self):
        self._child.kill()
        self._line.close()

    def _on_data(self, data):
        now = time.monotonic()
        self.text += data.decode("utf-8", "replace").replace("\r", "")
        if self.begun is None and "linktest: begins" in self.text:
            self.begun = now
        if self.ended is None and any(
                each.search(self.text) for each in (_GOOD, _FAILED,
                                                    _MEASURED)):
            self.ended = now


@dataclass(frozen=True)
class Outcome:
    consoles: tuple  # the text of each
    failures: tuple  # why, for each that failed
    seconds: float  # of the transfer

    @property
    def is_good(self):
        return not self.failures


def _watch(sides, selector, limit):
    """Until all have said how it ended."""
    until = time.monotonic() + limit
    while not all(side.ended for side in sides) and time.monotonic() < until:
        for key, events in selector.select(0.1):
            key.data(events)


def _failures(sides):
    for number, side in enumerate(sides):
        failed = _FAILED.search(side.text)
        if failed:
            yield f"machine {number}: {failed[1]}"
        elif not side.ended:
            yield f"machine {number} did not come to an end"


def run(engine_name, kind, ways, byte_count, root, *, words=("", ""), limit=60,
        device="", join=joint.Joint):
    """The Outcome of, say, ways ("send", "receive"); `words` are more of each
    machine's command line, `device` of QEMU's device."""
    engine, _ = engines.choose(engine_name)
    # The emulated time of a Bochs that waits runs far ahead of the world's.
    silence = 36000 if engine.NAME == "bochs" else 20
    sides = []
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.PollSelector())
        directory = stack.enter_context(work_directory())
        wire = stack.enter_context(join(kind, engine, directory, device))
        for number, way in enumerate(ways):
            side = Side(engine, wire.ends[number],
                        f"link={kind} linktest={way} "
                        f"linktest.bytes={byte_count} "
                        f"link.silence={silence} {words[number]}",
                        os.path.join(directory, str(number)), root, selector)
            stack.callback(side.close)
            sides.append(side)
            if number == 0:
                wire.wait()
        _watch(sides, selector, limit)
    times = [(side.begun, side.ended) for side in sides]
    if any(None in pair for pair in times):
        seconds = 0.0
    else:
        seconds = max(e for _, e in times) - min(b for b, _ in times)
    return Outcome(tuple(side.text for side in sides),
                   tuple(_failures(sides)), seconds)


def speed(*arguments, **options):
    """Bytes per second of such a transfer. A bare device may lose some: what
    has arrived counts."""
    outcome = run(*arguments, **options)
    if not outcome.is_good:
        raise Trouble("; ".join(outcome.failures))
    carried = [int(found[1]) for found in map(_CARRIED.search, outcome.consoles)
               if found]
    return min([arguments[3], *carried]) / outcome.seconds


def alone(engine_name, way, root, limit=60, link=None, words=""):
    """What one machine says, without a link or with somebody else at the other
    end of `link`."""
    engine, _ = engines.choose(engine_name)
    with selectors.PollSelector() as selector, work_directory() as directory:
        side = Side(engine, link, f"linktest={way} {words}",
                    os.path.join(directory, "0"), root, selector)
        with contextlib.closing(side):
            _watch([side], selector, limit)
    return side.text
