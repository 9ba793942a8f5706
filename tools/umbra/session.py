# SPDX-License-Identifier: MIT
"""One run of a machine, from the start of the engine to the exit status."""

import contextlib
import os
import re
import selectors
import time

from . import mux
from .children import Child, work_directory
from .line import Line
from .trouble import FAILED, TIMED_OUT, TimedOut, within

_TICK_SECONDS = 0.1
_LEAVE_SECONDS = 10  # for the machine to stop after its verdict
_DRAIN_SECONDS = 1  # of silence after the engine's end
_INPUT_BYTES_MAX = 4096  # read ahead of what the machine has taken


class Session:
    def __init__(self, machine, engine, outputs, keyboard, root):
        self._machine = machine
        self._engine = engine
        self._outputs = outputs
        self._keyboard = keyboard
        self._root = root
        self._decoder = mux.Decoder()
        self._encoder = mux.Encoder()
        self._selector = selectors.PollSelector()
        self._line = Line(self._selector, self._on_data)
        self._ready = set()  # channels that take input
        self._held = []  # input for channels that do not yet
        self.verdict = None

    def run(self, timeout=None):
        """The exit status of the run."""
        with work_directory() as directory, contextlib.closing(self._line):
            argv = self._engine.command(self._machine, directory,
                                        self._line.port, self._root)
            child = Child(argv, directory,
                          os.path.join(directory, "engine.out"))
            try:
                with within(timeout):
                    return self._attend(child, directory)
            except TimedOut:
                self._outputs.show_boot()
                self._outputs.note(f"no end after {timeout:g} s (--timeout)")
                return TIMED_OUT
            finally:
                child.kill()
                self._selector.close()

    # --- The loop ---------------------------------------------------------

    def _attend(self, child, directory):
        leave_by = None
        while child.ended() is None:
            self._step(_TICK_SECONDS)
            if self._keyboard.quit:
                return self.verdict or 0
            now = time.monotonic()
            if self.verdict is not None and not self._stays():
                leave_by = leave_by or now + _LEAVE_SECONDS
                if now >= leave_by:
                    self._outputs.note("the machine does not stop after its "
                                       "verdict; stopped it")
                    return self.verdict
        # What it has sent before its end may still be under way, even the
        # connection itself.
        while self._step(_DRAIN_SECONDS if self._line.is_connected else 0):
            pass
        if self.verdict is not None:
            return self.verdict
        self._outputs.show_boot()
        self._outputs.note(self._why(child.ended(), directory))
        return FAILED

    def _step(self, seconds):
        """Attends to what happens within the time; False if nothing does."""
        self._watch_keys()
        ready = self._selector.select(seconds)
        for key, events in ready:
            key.data(events)
        self._outputs.tick()
        return bool(ready)

    def _stays(self):
        ways = [word for word in self._machine.command_line.split()
                if word.startswith("exit=")]
        return ways[-1:] == ["exit=stay"]

    def _why(self, status, directory):
        what = self._engine.why_ended(status, directory)
        if what is None and status < 0:
            what = f"was killed by signal {-status}"
        elif what is None:
            what = f"stopped with status {status}"
        return (f"the run ended without a verdict: {self._engine.NAME} {what}; "
                "--log FILE with --set umbra.loglevel=debug shows more")

    # --- What the machine says --------------------------------------------

    def _on_data(self, data):
        for event in self._decoder.feed(data):
            if isinstance(event, mux.Text):
                self._outputs.text(event)
                if event.channel != mux.BOOT:
                    self._is_ready(event.channel)
            else:
                self._on_record(event.text)

    def _on_record(self, text):
        end = re.fullmatch(r"end (\d{1,3})", text)
        guest = re.fullmatch(r"guest (\d{1,2}) name=(\S+)", text)
        if end and int(end[1]) <= 255:
            self.verdict = int(end[1])
        elif guest and int(guest[1]) < mux.GUESTS_MAX:
            index = int(guest[1])
            self._outputs.rename(index, guest[2])
            self._is_ready(mux.guest_channel(index))
        else:
            self._outputs.note(f"unknown record from Umbra: {text!r}")

    # --- The keyboard -----------------------------------------------------

    def _watch_keys(self):
        """Reads no more than the machine takes."""
        room = (self._line.waiting + sum(len(d) for _, d in self._held)
                < _INPUT_BYTES_MAX)
        wanted = self._line.is_connected and room
        self._keyboard.watch(self._selector,
                             wanted or self._keyboard.is_terminal,
                             self._on_keys)

    def _on_keys(self, _events):
        before = self._keyboard.channel
        for channel, data in self._keyboard.read():
            self._input(channel, data)
        if self._keyboard.channel != before:
            name = self._outputs.name(self._keyboard.channel)
            where = "monitor" if name == "umbra" else name
            self._outputs.note(f"keys go to {where} (Ctrl-A c changes)")

    def _is_ready(self, channel):
        if channel not in self._ready:
            self._ready.add(channel)
            held, self._held = self._held, []
            for each, data in held:
                self._input(each, data)

    def _input(self, channel, data):
        # A guest's console does not exist before Umbra says so, and a UART
        # that is being set up throws away what it has received.
        if channel in self._ready:
            self._line.send(self._encoder.encode(channel, data))
        else:
            self._held.append((channel, data))
