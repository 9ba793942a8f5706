# SPDX-License-Identifier: MIT
"""A source of guests that is not Umbra, written from docs/MIGRATION.md alone:
it gives back a guest that a Receiver (receiver.py) has taken and not run."""

import struct

import wire
from wire import Wrong

_STATE_BYTES = 50000  # in a record
_SESSION = 0x5e55104


class Sender:
    """One migration; `wrong` pages are other ones there in the first round,
    and in the last one what differs is sent. `state` is another one than the
    guest's."""

    def __init__(self, guest, wrong=(), state=None):
        self._guest = guest
        self._state = state or guest.state
        self._wrong = wrong
        self._inbox = wire.Inbox(wire.DESTINATION)
        self._outbox = wire.Outbox(wire.SOURCE)
        self._said = []
        self._due = "WELCOME"
        self._root = 0
        self.why = None  # the guest stays
        self.has_moved = False

    def begin(self):
        self._say("HELLO", struct.pack(
            "<QHHIQQQ", wire.MAGIC, wire.VERSION, 0, 0, _SESSION,
            wire.LZ4 | wire.DELTA, 0))
        return self._take_said()

    def feed(self, data):
        self._inbox.feed(data)
        while not self.why and (record := self._inbox.take()):
            if record.type == "REFUSE":
                self.why = record.reader.bytes(record.reader.left).decode()
                break
            if record.type not in (self._due, "AUDIT_ASK"):
                raise Wrong(f"{record.type} instead of {self._due}")
            getattr(self, "on_" + record.type.lower())(record.reader)
            record.reader.end()
        return self._take_said()

    def is_over(self):
        return self.has_moved or self.why is not None

    def _say(self, name, payload, due=None):
        self._said.append(self._outbox.record(name, payload))
        self._due = due or self._due

    def _take_said(self):
        said, self._said = b"".join(self._said), []
        return said

    @staticmethod
    def _is_of_session(reader):
        if reader.number(8) != _SESSION:
            raise Wrong("of another session")

    def on_welcome(self, reader):
        if reader.fields("QHHIQQ") != (wire.MAGIC, wire.VERSION, 0, 0,
                                       _SESSION, wire.LZ4 | wire.DELTA):
            raise Wrong("WELCOME says something else")
        self._say("VM", self._guest.vm, due="ACCEPT")

    # --- Memory --------------------------------------------------------------

    def _entries(self):
        """Of all pages: zero, raw where packing is worth nothing, packed."""
        zero = []
        for number in sorted(self._guest.shape.pages):
            page = self._guest.page(number)
            if number in self._wrong:
                page = bytes([page[0] ^ 0xff]) + page[1:]
            if page == wire.ZERO_PAGE:
                if zero and zero[-1] + 1 != number:
                    yield "ZERO", zero[0], len(zero)
                    zero = []
                zero.append(number)
                continue
            if zero:
                yield "ZERO", zero[0], len(zero)
                zero = []
            block = wire.pack(page)
            yield ("LZ4", number, block) if len(block) < 3840 else (
                "RAW", number, page)
        if zero:
            yield "ZERO", zero[0], len(zero)

    def _say_round(self, number, is_last, entries, due):
        for payload in wire.pages_payloads(entries):
            self._say("PAGES", payload)
        zero = sum(what for kind, _, what in entries if kind == "ZERO")
        full = sum(kind != "ZERO" for kind, _, _ in entries)
        self._say("ROUND", struct.pack("<IIQQ", number, is_last, full, zero),
                  due)

    def on_accept(self, reader):
        self._is_of_session(reader)
        self._say_round(0, 0, list(self._entries()), "ROUND_SEEN")

    def on_round_seen(self, reader):
        if reader.fields("II") != (0, 0):
            raise Wrong("another round was seen")
        self._say("PREPARE", struct.pack("<Q", _SESSION), "PREPARED")

    def corrections(self):
        """What has changed in the pages that went wrong: their first byte."""
        change = wire.pack(b"\xff" + bytes(wire.PAGE - 1))
        return [("DELTA", number, change) for number in sorted(self._wrong)]

    # --- Handing over --------------------------------------------------------

    def on_prepared(self, reader):
        self._is_of_session(reader)
        self._say_round(1, 1, self.corrections(), "READY")
        state = self._state
        for at in range(0, len(state), _STATE_BYTES):
            self._say("STATE", struct.pack("<II", at, len(state))
                      + state[at:at + _STATE_BYTES])
        groups = self._guest.shape.groups
        for at in range(0, len(groups), wire.GROUP_PAGES):
            hashes = [self._guest.group_hash(self._guest.numbers_in(group))
                      for group in groups[at:at + wire.GROUP_PAGES]]
            data = struct.pack(f"<{len(hashes)}I", *hashes)
            self._root = wire.crc32c(data, self._root)
            self._say("AUDIT", struct.pack("<Q", groups[at]) + data)
        self._say("SEAL", struct.pack(
            "<QIIIIQ", _SESSION, len(state), wire.crc32c(state), 1, self._root,
            len(groups)))

    def on_audit_ask(self, reader):
        group = reader.number(8)
        numbers = self._guest.numbers_in(group)
        bits = sum(1 << number % wire.GROUP_PAGES for number in numbers)
        self._say("AUDIT_PAGES", struct.pack(
            f"<QQ{len(numbers)}I", group, bits,
            *self._guest.hashes(numbers)))

    def on_ready(self, reader):
        self._is_of_session(reader)
        if reader.fields("II") != (wire.crc32c(self._state), self._root):
            raise Wrong("it is ready with something else")
        self._say("COMMIT", struct.pack("<Q", _SESSION), "RUNNING")

    def on_running(self, reader):
        self._is_of_session(reader)
        self.has_moved = True
