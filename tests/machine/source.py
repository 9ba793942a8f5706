# SPDX-License-Identifier: MIT
"""A machine with a guest, the source of migrations to a receiver that is part
of the test (receiver.py)."""

import os
import re
import selectors
import socket
import sys
import time
import types

from link_peer import LinePeer, Peer
from lib import ROOT, Failure

sys.path.insert(0, str(ROOT / "tools"))
# pylint: disable=wrong-import-position
from umbra import engines, joint, mux, run as runs
from umbra.machine import Guest, Module
from umbra.side import Side

__all__ = ("Guest", "Module", "Source")

_OWN_IP, _MACHINE_IP = "10.9.9.2", "10.9.9.1"


class _Port:
    """virtio-serial: a stream of bytes by itself."""

    def __init__(self, end):
        self._socket = socket.create_connection(("127.0.0.1", end.port))

    def fileno(self):
        return self._socket.fileno()

    def exchange(self, data):
        self._socket.setblocking(True)
        self._socket.sendall(data)
        self._socket.setblocking(False)
        try:
            return self._socket.recv(1 << 18)
        except BlockingIOError:
            return b""

    def close(self):
        self._socket.close()


class Source:
    """For a `with` block. `guest` is a machine.Guest, `pairs` are what --set
    takes."""

    WORDS = ()  # for Umbra

    def __init__(self, test, kind, guest, *pairs):
        self._test = test
        self._selector = selectors.DefaultSelector()
        self._engine, _ = engines.choose(test.engine_name())
        self._joint = joint.Joint(kind, self._engine, test.folder)
        self._end = self._joint.ends[0]
        image = os.environ.get("UMBRA_TEST_IMAGE")
        options = types.SimpleNamespace(
            mem="4M", cpus=1, no_nested=False,
            set=[f"umbra.link.ip={_MACHINE_IP}", *pairs,
                 *([f"host.image={image}"] if image else [])])
        machine = runs.build_machine(
            [guest], options, str(ROOT),
            ["console=mux", f"exit={self._engine.EXIT}", f"link={kind}",
             *self.WORDS])
        machine.link = self._end
        self._side = Side("source", 0, machine, self._engine, str(ROOT))
        self._link = None
        self._receiver = None
        self._to_say = b""
        #: The guest's console, Umbra's lines, its records to the front end.
        self.out, self.lines, self.records = "", [], []

    def __enter__(self):
        if self._end.kind == "net":
            self._link = Peer(self._end, _OWN_IP, _MACHINE_IP)
        self._side.start(str(self._test.folder), self._selector,
                         self._on_data, self)
        if not self._link:
            self._joint.wait()
            carrier = LinePeer if self._end.kind == "uart" else _Port
            self._link = carrier(self._end)
        self._selector.register(self._link, selectors.EVENT_READ,
                                lambda _: None)
        return self

    def __exit__(self, *_):
        self._side.close()
        self._side.flush()
        if self._link:
            self._link.close()
        self._selector.close()
        print(f"the guest's console:\n{self.out}")

    # --- What a Side tells its view ------------------------------------------

    def umbra(self, _side, line):
        self.lines.append(line.decode("utf-8", "replace"))
        print("  umbra:", self.lines[-1], flush=True)

    def _on_data(self, side, data):
        for event in side.decoder.feed(data):
            if isinstance(event, mux.Record):
                self.records.append(event.text)
                print("  record:", event.text, flush=True)
            elif event.channel == mux.MONITOR:
                side.say(event.data)
            elif event.channel != mux.BOOT:
                self.out += event.data.decode("utf-8", "replace").replace(
                    "\r", "")

    # --- Going on ------------------------------------------------------------

    def _step(self):
        for key, events in self._selector.select(0.05):
            key.data(events)
        if not self._link:
            return b""
        came = self._link.exchange(self._to_say)
        self._to_say = b""
        if self._receiver and came:
            self._to_say = self._receiver.feed(came)
        return came

    def _wait(self, is_so, what):
        while not is_so():
            if self._side.child.ended() is not None and not self._step():
                raise Failure(f"never: {what}; {self._side.why_ended()}")
            if self._test.seconds_left():
                self._step()

    def record(self, pattern, after=0):
        """The first such record from then on, when it comes."""
        def found():
            return next(filter(None, (re.match(pattern, text) for text in
                                      self.records[after:])), None)
        self._wait(found, f"a record {pattern}")
        return found()

    def until_printed(self, text):
        self._wait(lambda: text in self.out, f"the guest prints {text!r}")

    def until_said(self, pattern):
        self._wait(lambda: any(re.search(pattern, line) for line in
                               self.lines), f"a line {pattern!r}")

    def _until_quiet(self):
        """Nothing comes any more of what was before."""
        quiet_at = time.monotonic() + 0.3
        while time.monotonic() < quiet_at:
            if self._step():
                quiet_at = time.monotonic() + 0.3

    def take_from(self, sender):
        """A guest, or it says why not."""
        self._until_quiet()
        self._receiver = sender
        self._to_say = sender.begin()
        self._wait(sender.is_over, "the guest comes, or does not")
        self._receiver = None

    def say(self, *lines):
        """To the monitor."""
        self._side.send(mux.MONITOR,
                        "".join(line + "\n" for line in lines).encode())

    def send_to(self, receiver, *wishes):
        """Migrates the guest to that; the result that the source says."""
        self._until_quiet()
        self._receiver = receiver
        before = len(self.records)
        self.say(" ".join(["migrate 0", *wishes]))
        words = self.record("migrated result=|not_begun", before).string
        self._receiver = None
        print("receiver:", receiver.why or "has the guest", dict(
            receiver.records), dict(receiver.pages), flush=True)
        return dict(word.split("=") for word in words.split()[1:])
