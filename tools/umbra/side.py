# SPDX-License-Identifier: MIT
"""One of several machines that the front end attends to at once."""

import os
import selectors
import socket

from . import console, mux
from .children import Child

_READ_BYTES = 65536


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
        self._pending = b""
        self._selector = None
        self._receive = None
        self.listener = None
        self.line = None
        self.child = None
        self.directory = None
        self.verdict = None
        self.guest = None  # its number here
        self.is_ready = False
        self._stands_still = False
        self._lines = console.Lines(self._say)
        self._view = None

    def start(self, directory, selector, receive, view):
        self._view = view
        self.directory = os.path.join(directory, self.name)
        os.mkdir(self.directory)
        self._selector, self._receive = selector, receive
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        selector.register(self.listener, selectors.EVENT_READ, self._accept)
        argv = self._engine.command(self._machine, self.directory,
                                    self.listener.getsockname()[1], self._root)
        self.child = Child(argv, self.directory,
                           os.path.join(self.directory, "engine.out"))

    def close(self):
        if self.child:
            self.child.kill()
        for each in (self.listener, self.line):
            if each:
                each.close()

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
        what = self._engine.why_ended(status, self.directory)
        if what is None or status < 0:
            what = (f"was killed by signal {-status}" if status < 0
                    else f"stopped with status {status}")
        return f"the {self.name}'s {self._engine.NAME} {what}"

    # --- Its line ---------------------------------------------------------

    def _accept(self, _events):
        self.line, _ = self.listener.accept()
        self._selector.unregister(self.listener)
        self.line.setblocking(False)
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self.line, selectors.EVENT_READ, self._serve)

    def _serve(self, events):
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ and self.line:
            self._read()

    def _read(self):
        try:
            data = self.line.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._receive(self, data)
        else:
            self._hang_up()

    def _hang_up(self):
        self._selector.unregister(self.line)
        self.line.close()
        self.line = None

    def send(self, channel, data):
        self._pending += self._encoder.encode(channel, data)
        self._flush()

    def _flush(self):
        if not self.line:
            return
        try:
            sent = self.line.send(self._pending) if self._pending else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up()
            return
        self._pending = self._pending[sent:]
        wanted = selectors.EVENT_READ
        if self._pending:
            wanted |= selectors.EVENT_WRITE
        self._selector.modify(self.line, wanted, self._serve)

    def has_room(self):
        return self.line is not None and len(self._pending) < 4096

    # --- What Umbra says there --------------------------------------------

    def say(self, data):
        self._lines.feed(data)

    def flush(self):
        self._lines.flush()

    def _say(self, line):
        line = line.removeprefix(b"umbra> ")
        if line:
            self._view.umbra(self, line)
