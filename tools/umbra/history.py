# SPDX-License-Identifier: MIT
"""What happened in a migration, and when: for its report.

Moments are seconds since the first machine was started, of this computer's
clock: the machines' own clocks are two.
"""

import dataclasses
import time

from . import console

LINES_MAX = 20000  # of a guest's console at one side; the rest is counted


@dataclasses.dataclass(frozen=True)
class Line:
    at: float
    text: str


@dataclasses.dataclass
class Move:
    """One migration: figures as Umbra's records have them. A moment that has
    not come is 0."""
    source: int
    began: float
    paused: float = 0.0
    rounds: list = dataclasses.field(default_factory=list)
    ended: float = 0.0
    arrived: float = 0.0
    result: dict = None
    downtime: dict = None
    parts: dict = None  # of the standstill: migrate.standstill()

    def standstill(self):
        """Seconds, of this computer's clock; None if it never stood still, or
        for good."""
        return (self.arrived - self.paused if self.paused and self.arrived
                else None)


class History:
    def __init__(self, title=""):
        self.title = title
        self._zero = time.monotonic()
        self.consoles = ([], [])
        self.left_out = [0, 0]
        self.moves = []
        self.started = [None, None]  # the guest, at a side
        self.ended = None
        self._lines = [console.Lines(lambda line, side=side:
                                     self._take(side, line))
                       for side in (0, 1)]

    def now(self):
        return time.monotonic() - self._zero

    def printed(self, side, data):
        self._lines[side].feed(data)

    def guest_is_at(self, side):
        self.started[side] = self.now()

    def move_begins(self, side):
        self.moves.append(Move(side, self.now()))

    def _move(self):
        """The one that is under way; a person may have begun it by hand."""
        if not self.moves or self.moves[-1].ended:
            self.move_begins(0 if self.started[1] is None else 1)
        return self.moves[-1]

    def round_is_over(self, words):
        self._move().rounds.append({**words, "at": self.now()})

    def guest_stands_still(self):
        self._move().paused = self.now()

    def guest_has_arrived(self, side):
        """Both machines may say so, in either order. A line that the guest was
        in the middle of ends there."""
        self._lines[side].feed(self._lines[1 - side].take_open())
        if self.moves and not self.moves[-1].arrived:
            self.moves[-1].arrived = self.now()

    def move_ends(self, result):
        self._move().result = result

    def downtime_is(self, words):
        move = self._move()
        move.downtime = words
        move.ended = self.now()

    def standstill_is(self, parts):
        self.moves[-1].parts = parts

    def close(self):
        self.ended = self.now()
        for lines in self._lines:
            lines.flush()

    def _take(self, side, line):
        if len(self.consoles[side]) < LINES_MAX:
            self.consoles[side].append(
                Line(self.now(), line.decode("utf-8", "replace")))
        else:
            self.left_out[side] += 1
