# SPDX-License-Identifier: MIT
"""The migration wire as docs/MIGRATION.md has it, and from nothing else: what
another implementer would write. No word of it comes from Umbra's C code."""

import struct

PAGE = 4096
GROUP_PAGES = 64
HEAD = struct.Struct("<IIIHH")  # CRC, sequence, length, type, lent
RECORD_MAX = 65536
LENT_MAX = 15
MAGIC = int.from_bytes(b"UMBRAMIG", "little")
VERSION = 1
LZ4, DELTA, AUDIT_SENT, LIVE = 1, 2, 4, 8  # features
FEATURES = LZ4 | DELTA | AUDIT_SENT | LIVE

#: Types from the source, and from the destination.
SOURCE = {0x01: "HELLO", 0x02: "VM", 0x03: "PAGES", 0x04: "ROUND",
          0x05: "PREPARE", 0x06: "STATE", 0x07: "AUDIT", 0x08: "SEAL",
          0x09: "AUDIT_PAGES", 0x0a: "COMMIT", 0x0b: "CANCEL",
          0x0c: "AUDIT_SENT", 0x0d: "LIVE"}
DESTINATION = {0x41: "WELCOME", 0x42: "ACCEPT", 0x43: "ROUND_SEEN",
               0x44: "PREPARED", 0x45: "AUDIT_ASK", 0x46: "READY",
               0x47: "RUNNING", 0x48: "REFUSE"}

ZERO_PAGE = bytes(PAGE)


class Wrong(Exception):
    """What came cannot be; the text says why."""


def _table():
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
        yield value


_CRC = tuple(_table())


def crc32c(data, before=0):
    """Castagnoli's; `before` is that of what came before."""
    table, crc = _CRC, before ^ 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


# --- LZ4 ---------------------------------------------------------------------


class Reader:
    """Fields one after the other, none beyond the end."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    @property
    def left(self):
        return len(self._data) - self._at

    def bytes(self, count):
        if count > self.left:
            raise Wrong(f"{count} bytes are due, {self.left} are left")
        self._at += count
        return self._data[self._at - count:self._at]

    def number(self, size):
        return int.from_bytes(self.bytes(size), "little")

    def fields(self, form):
        """By a format of struct's, without gaps."""
        form = struct.Struct("<" + form)
        return form.unpack(self.bytes(form.size))

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7f) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift > 63:
                raise Wrong("a number of more than 64 bits")

    def end(self):
        if self.left:
            raise Wrong(f"{self.left} bytes are left over")


def _long(reader, nibble):
    """A length of LZ4's: 15 goes on with bytes, of which 255 goes on."""
    if nibble < 15:
        return nibble
    while True:
        more = reader.number(1)
        nibble += more
        if more != 255:
            return nibble


def unpack(block):
    """The page of an LZ4 block."""
    reader, page = Reader(block), bytearray()
    while reader.left:
        token = reader.number(1)
        page += reader.bytes(_long(reader, token >> 4))
        if not reader.left:
            break  # the last sequence has literals only
        back = reader.number(2)
        count = _long(reader, token & 15) + 4
        if not 0 < back <= len(page) or len(page) + count > PAGE:
            raise Wrong("an LZ4 block that reaches out of its page")
        start = len(page) - back
        for at in range(start, start + count):
            page.append(page[at])  # both may overlap
    if len(page) != PAGE:
        raise Wrong(f"an LZ4 block of {len(page)} bytes")
    return bytes(page)


def _sequence(literals, back=0, count=0):
    """Of an LZ4 block: those bytes, then so many from so far back."""
    lengths = len(literals), max(count - 4, 0)
    more = [b"" if length < 15 else
            b"\xff" * ((length - 15) // 255) + bytes([(length - 15) % 255])
            for length in lengths]
    token = bytes([min(lengths[0], 15) << 4 | min(lengths[1], 15)])
    return token + more[0] + literals + (
        back.to_bytes(2, "little") + more[1] if count else b"")


def pack(page):
    """An LZ4 block. Its format has the last match begin 12 bytes before the
    end, and end 5 bytes before it."""
    block, at, done, seen = b"", 0, 0, {}
    while at < PAGE - 12:
        before = seen.get(page[at:at + 4])
        seen[page[at:at + 4]] = at
        if before is None:
            at += 1
            continue
        count = 4
        while at + count < PAGE - 5 and page[before + count] == \
                page[at + count]:
            count += 1
        block += _sequence(page[done:at], at - before, count)
        at += count
        done = at
    return block + _sequence(page[done:])


def exclusive_or(page, other):
    return (int.from_bytes(page, "little")
            ^ int.from_bytes(other, "little")).to_bytes(PAGE, "little")


# --- Records -----------------------------------------------------------------


class Record:
    """One record, whose head and CRC are right."""

    def __init__(self, name, payload, lent):
        self.type = name
        self.size = len(payload)
        cut = self.size - lent * PAGE
        self.reader = Reader(payload[:cut])
        self.lent = Reader(payload[cut:])


class Inbox:
    """Bytes in any portions, records out, of these types."""

    def __init__(self, types):
        self._types = types
        self._data = bytearray()
        self._sequence = 0

    def feed(self, data):
        self._data += data

    def take(self):
        """The next record, or None when it has not come whole."""
        if len(self._data) < HEAD.size:
            return None
        crc, sequence, length, number, lent = HEAD.unpack_from(self._data)
        name = self._types.get(number)
        if not name:
            raise Wrong(f"type {number:02x} does not exist")
        if HEAD.size + length > RECORD_MAX:
            raise Wrong(f"a record of {length} bytes")
        if lent * PAGE > length or lent > LENT_MAX or \
                lent and name != "LIVE":
            raise Wrong(f"{name} with {lent} lent pages")
        whole = HEAD.size + length
        if len(self._data) < whole:
            return None
        if crc != crc32c(self._data[4:whole - lent * PAGE]):
            raise Wrong(f"the CRC of {name} is wrong")
        if sequence != self._sequence:
            raise Wrong(f"record {sequence} instead of {self._sequence}")
        self._sequence += 1
        payload = bytes(self._data[HEAD.size:whole])
        del self._data[:whole]
        return Record(name, payload, lent)


class Outbox:
    """Records of these types."""

    def __init__(self, types):
        self._numbers = {name: number for number, name in types.items()}
        self._sequence = 0

    def record(self, name, payload):
        return self.record_of_type(self._numbers[name], payload)

    def record_of_type(self, number, payload):
        covered = HEAD.pack(0, self._sequence, len(payload), number,
                            0)[4:] + payload
        self._sequence += 1
        return crc32c(covered).to_bytes(4, "little") + covered


# --- Pages -------------------------------------------------------------------

KINDS = "ZERO", "RAW", "LZ4", "DELTA"


def pages(record):
    """(kind, number, what follows): of ZERO how many there are, of the others
    bytes."""
    reader, lent, due = record.reader, record.lent, 0
    while reader.left:
        head = reader.varint()
        kind, number = KINDS[head & 3], due + (head >> 2)
        due = number + 1
        if kind == "ZERO":
            what = reader.varint() + 1
            due = number + what
        elif kind == "RAW":
            what = (lent if record.type == "LIVE" else reader).bytes(PAGE)
        else:
            what = reader.bytes(reader.varint())
        yield kind, number, what
    lent.end()


def varint(value):
    data = bytearray()
    while value > 0x7f:
        data.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(data) + bytes([value])


def pages_payloads(entries):
    """Payloads of PAGES for (kind, number, what follows), as pages() gives
    them, in ascending order."""
    payload, due = b"", 0
    for kind, number, what in entries:
        if len(payload) > RECORD_MAX - HEAD.size - PAGE - 20:
            yield payload
            payload, due = b"", 0
        payload += varint((number - due) << 2 | KINDS.index(kind))
        due = number + 1
        if kind == "ZERO":
            payload += varint(what - 1)
            due = number + what
        else:
            payload += what if kind == "RAW" else varint(len(what)) + what
    if payload:
        yield payload
