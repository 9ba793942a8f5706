# SPDX-License-Identifier: MIT
"""What a person sees of two machines and a guest that moves: line by line, or
side by side.

A view is told: what Umbra says at a side, what the guest prints there, how far
a migration is, and what the front end has to say.
"""

import os
import sys
import textwrap
import time

from . import console, mux

_BAR_CELLS = 24
_COLUMNS_MIN = 80
_COLUMNS_ELSEWHERE = 120  # where there is no terminal
_GAP = " | "
_LINE_SECONDS = 0.3  # in which a guest ends a line that it has begun


def bar(words):
    left, total = words.get("left", 0), max(words.get("total", 1), 1)
    done = _BAR_CELLS * (total - left) // total
    return (f"[{'#' * done}{'.' * (_BAR_CELLS - done)}] "
            f"round {words.get('round', 0)}, {left} of {total} pages "
            f"left, {words.get('rate', 0) / 1000:.0f} KB/s, "
            f"{words.get('dirty', 0)} pages/s written, standstill "
            f"about {words.get('downtime_us', 0) / 1000:.0f} ms")


class _Bar:
    """On a terminal one line that changes; elsewhere a line each round."""

    def __init__(self):
        self._is_terminal = sys.stderr.isatty()
        self._round = None

    def show(self, words):
        if self._is_terminal:
            # A line that is cut can be taken back; one that wraps cannot.
            cells = max(_width() - 1, 1)
            console.write(sys.stderr,
                          f"\r\x1b[K{bar(words)[:cells]}".encode())
        elif words.get("round") != self._round:
            console.write(sys.stderr, f"migration: {bar(words)}\n".encode())
        self._round = words.get("round")

    def clear(self):
        if self._is_terminal and self._round is not None:
            console.write(sys.stderr, b"\r\x1b[K")
        self._round = None


class _View:
    """What both have."""

    def __init__(self, outputs):
        self._outputs = outputs
        self._bar = _Bar()

    def progress(self, words):
        self._bar.show(words)

    def note(self, text):
        self._bar.clear()
        self._outputs.note(text)

    def tick(self):
        self._outputs.tick()

    def close(self):
        self._bar.clear()


class Plain(_View):
    """The guest on standard output, everything else on standard error. On a
    terminal both are one: what Umbra says waits for the end of the guest's
    line, but not for that of a prompt."""

    def __init__(self, outputs):
        super().__init__(outputs)
        self._open_since = None  # the guest is in the middle of a line
        self._waiting = []

    def umbra(self, side, line):
        self._outputs.keep(side.name, line + b"\n")
        self._waiting.append(f"{side.name}: ".encode() + line + b"\n")
        self.tick()

    def guest(self, _side, event):
        self._outputs.text(event)
        self._open_since = (None if event.data.endswith(b"\n")
                            else time.monotonic())
        self.tick()

    def note(self, text):
        self._say_what_waits()
        super().note(text)

    def tick(self):
        super().tick()
        if self._open_since is None or \
                time.monotonic() - self._open_since >= _LINE_SECONDS:
            self._say_what_waits()

    def close(self):
        self._say_what_waits()
        super().close()

    def _say_what_waits(self):
        if self._waiting:
            self._bar.clear()
            console.write(sys.stderr, b"".join(self._waiting))
            self._waiting.clear()

    def follow(self, side):
        """The guest is there now: its console goes on."""


class Columns(_View):
    """The source on the left, the destination on the right: consoles of both
    guests and both Umbras, line by line, on standard error."""

    def __init__(self, outputs, sides, width=None):
        super().__init__(outputs)
        self._width = (max(width or _width(), _COLUMNS_MIN) - len(_GAP)) // 2
        self._lines = [
            console.Lines(lambda line, side=side: self._put(side, line))
            for side in sides]
        self._write(_GAP.join(side.name.upper().ljust(self._width)
                              for side in sides))
        self._write(_GAP.join("-" * self._width for _ in sides))

    def umbra(self, side, line):
        self._outputs.keep(side.name, line + b"\n")
        self._put(side, line)

    def guest(self, side, event):
        self._outputs.keep(self._outputs.name(event.channel), event.data)
        if event.channel != mux.BOOT:
            self._lines[side.number].feed(event.data)

    def follow(self, side):
        """A line that it was in the middle of ends there."""
        here, there = self._lines[side.number], self._lines[1 - side.number]
        here.feed(there.take_open())

    def close(self):
        super().close()
        for lines in self._lines:
            lines.flush()

    def _put(self, side, line):
        self._bar.clear()
        text = line.decode("utf-8", "replace")
        for piece in textwrap.wrap(text, self._width) or [""]:
            cells = ["", ""]
            cells[side.number] = piece
            self._write(_GAP.join(cell.ljust(self._width) for cell in cells))

    @staticmethod
    def _write(text):
        console.write(sys.stderr, text.rstrip().encode() + b"\n")


def _width():
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return _COLUMNS_ELSEWHERE
