# SPDX-License-Identifier: MIT
"""One of several machines that the front end attends to at once."""

import os

from . import console, mux
from .children import Child
from .line import Line

_SENT_AHEAD_BYTES = 4096  # of what the machine has taken


class Side:
    """One machine: what it is started with, and its line."""

    def __init__(self, name, number, machine, engine, root):
        self.name = name
        self.number = number
        self._machine = machine
        self._engine = engine
        self._root = root
        self.decoder = mux.Decoder()
        self._encoder = mux.Encoder()
        self._line = None
        self.child = None
        self._directory = None
        self.verdict = None
        self.guest = None  # its number here
        self.is_ready = False
        self._stands_still = False
        self._lines = console.Lines(self._say)
        self._view = None

    def start(self, directory, selector, receive, view):
        self._view = view
        self._directory = os.path.join(directory, self.name)
        os.mkdir(self._directory)
        self._line = Line(selector, lambda data: receive(self, data))
        argv = self._engine.command(self._machine, self._directory,
                                    self._line.port, self._root)
        self.child = Child(argv, self._directory,
                           os.path.join(self._directory, "engine.out"))

    def close(self):
        if self.child:
            self.child.kill()
        if self._line:
            self._line.close()

    def may_stand_still(self):
        """Bochs' machines that nothing ties to the world's clock take no harm
        from it, and what waits in them costs as much as what works."""
        return self._engine.NAME == "bochs" and self._machine.sync == "none"

    def stand_still(self):
        if not self._stands_still:
            self._stands_still = True
            self.child.stand_still()

    def go_on(self):
        if self._stands_still:
            self._stands_still = False
            self.child.go_on()

    def why_ended(self):
        status = self.child.ended()
        what = self._engine.why_ended(status, self._directory)
        if what is None or status < 0:
            what = (f"was killed by signal {-status}" if status < 0
                    else f"stopped with status {status}")
        return f"the {self.name}'s {self._engine.NAME} {what}"

    # --- Its line ---------------------------------------------------------

    def send(self, channel, data):
        self._line.send(self._encoder.encode(channel, data))

    def has_room(self):
        return (self._line.is_connected
                and self._line.waiting < _SENT_AHEAD_BYTES)

    # --- What Umbra says there --------------------------------------------

    def say(self, data):
        self._lines.feed(data)

    def flush(self):
        self._lines.flush()

    def _say(self, line):
        line = line.removeprefix(b"umbra> ")
        if line:
            self._view.umbra(self, line)
