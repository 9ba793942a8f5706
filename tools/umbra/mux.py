# SPDX-License-Identifier: MIT
"""Several consoles on one serial line.

In both directions the byte RS (0x1e) starts a control pair:

    RS RS              one RS of the data
    RS 0x40..0x5f      what follows belongs to that channel: '@' is Umbra
                       itself (its messages, its monitor), 'A' + n guest n
    RS '!' text LF     a record from Umbra to the front end

A record does not change the channel. A pair that is none of these is passed
on as data: better a strange character than a lost one.
"""

from dataclasses import dataclass

RS = 0x1E
BOOT = -1  # what comes before the first pair: firmware, a boot loader
MONITOR = 0
RECORD_BYTES_MAX = 4096
_FIRST, _LAST = 0x40, 0x5F
_RECORD = ord("!")
GUESTS_MAX = _LAST - _FIRST


def guest_channel(index):
    return 1 + index


@dataclass(frozen=True)
class Text:
    channel: int
    data: bytes


@dataclass(frozen=True)
class Record:
    text: str


class Decoder:
    """Takes the line's bytes in pieces of any size."""

    def __init__(self):
        self.channel = BOOT
        self._pair_open = False
        self._record = None
        self._data = bytearray()
        self._events = []

    def feed(self, data):
        """What `data` completes, in order."""
        at = 0
        while at < len(data):
            if self._record is not None:
                self._in_record(data[at])
            elif self._pair_open:
                self._in_pair(data[at])
            else:
                end = data.find(RS, at)
                self._pair_open = end >= 0
                end = end if end >= 0 else len(data)
                self._data += data[at:end]
                at = end  # at the RS, or behind the data
            at += 1
        self._end_text()
        events, self._events = self._events, []
        return events

    def _in_pair(self, byte):
        self._pair_open = False
        if byte == RS:
            self._data.append(RS)
        elif _FIRST <= byte <= _LAST:
            self._end_text()
            self.channel = byte - _FIRST
        elif byte == _RECORD:
            self._end_text()
            self._record = bytearray()
        else:
            self._data += bytes((RS, byte))

    def _in_record(self, byte):
        if byte != ord("\n") and len(self._record) < RECORD_BYTES_MAX:
            self._record.append(byte)
            return
        text = self._record.decode("utf-8", "replace").strip()
        self._events.append(Record(text))
        self._record = None

    def _end_text(self):
        if self._data:
            self._events.append(Text(self.channel, bytes(self._data)))
            self._data.clear()


class Encoder:
    def __init__(self):
        self._channel = None

    def encode(self, channel, data):
        """`data` for `channel`, selecting the channel where it changes."""
        select = b""
        if channel != self._channel:
            select = bytes((RS, _FIRST + channel))
            self._channel = channel
        return select + data.replace(bytes((RS,)), bytes((RS, RS)))
