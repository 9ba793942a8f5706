# SPDX-License-Identifier: MIT
"""Two machines without guests that send each other bytes over their link
(core/linktest.h)."""

import os
import re
import selectors
import socket
import time
from dataclasses import dataclass

from . import engines, joint, machine as machines, sizes
from .children import Child, work_directory
from .trouble import Trouble

_IMAGE = os.path.join("build", "umbra.elf")
_MEMORY = 64 * sizes.MIB
_GOOD = re.compile(r"linktest: good: (.*)\n")
_CARRIED = re.compile(r"linktest: good: (\d+) bytes over the bare device")
_MEASURED = re.compile(r"linktest: ticks per .*\n")
_FAILED = re.compile(r"linktest: failed: (.*)\n")


@dataclass
class Side:
    """One of the two machines, its console, and what it said when."""

    child: Child
    listener: socket.socket
    line: socket.socket = None
    text: str = ""
    begun: float = None
    ended: float = None

    def feed(self, data):
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


def _start(engine, link, words, directory, root):
    os.mkdir(directory)
    machine = machines.Machine(
        image=os.path.join(root, _IMAGE), memory=_MEMORY, cpus=1, modules=[],
        command_line=f"exit={engine.EXIT} {words}", link=link)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    argv = engine.command(machine, directory, listener.getsockname()[1], root)
    return Side(Child(argv, directory, os.path.join(directory, "engine.out")),
                listener)


def _watch(sides, limit):
    """Until both have said how it ended, or one is gone."""
    selector = selectors.DefaultSelector()
    for side in sides:
        selector.register(side.listener, selectors.EVENT_READ, side)
    until = time.monotonic() + limit
    while not all(side.ended for side in sides):
        if time.monotonic() > until:
            return
        for key, _ in selector.select(0.1):
            side = key.data
            if key.fileobj is side.listener:
                side.line, _ = side.listener.accept()
                selector.register(side.line, selectors.EVENT_READ, side)
                continue
            data = side.line.recv(65536)
            if not data:
                selector.unregister(side.line)
            side.feed(data)
    selector.close()


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
    with work_directory() as directory, \
            join(kind, engine, directory, device) as wire:
        try:
            for number, way in enumerate(ways):
                sides.append(_start(
                    engine, wire.ends[number],
                    f"link={kind} linktest={way} "
                    f"linktest.bytes={byte_count} "
                    f"link.silence={silence} {words[number]}",
                    os.path.join(directory, str(number)), root))
                if number == 0:
                    wire.wait()
            _watch(sides, limit)
        finally:
            for side in sides:
                side.child.kill()
                side.listener.close()
                if side.line:
                    side.line.close()
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
    with work_directory() as directory:
        side = _start(engine, link, f"linktest={way} {words}",
                      os.path.join(directory, "0"), root)
        try:
            _watch([side], limit)
        finally:
            side.child.kill()
            side.listener.close()
            if side.line:
                side.line.close()
    return side.text
