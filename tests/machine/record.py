# SPDX-License-Identifier: MIT
"""A VM's state record, read by the tables of docs/RECORD.md and nothing else.
"""

import re

from lib import ROOT
from wire import Reader, Wrong

_SECTION = re.compile(r"^## (\w\w) .*, version (\d+)$")
_TIMES = re.compile(r"^(\d+) times, (\d+) bytes each:$")
_VMCS_FIELD = re.compile(r"^\| (\d+) \| (\d) \| (\w+) \| \w+H \|$")
_FIELD = re.compile(r"^\| (\d+) \| (?:(\d+) x )?(\d+|the rest) \| (\S+) \| "
                    r"(any|\w+H) \| .* \|$")


_TEXT = (ROOT / "docs/RECORD.md").read_text("utf-8")


def _tables():
    """By type: (version, [[times, fields], ...]); a field is (name, count or
    None, bytes or None, bits)."""
    found, times = {}, 1
    for line in _TEXT.splitlines():
        if match := _SECTION.match(line):
            tables = []
            found[int(match[1], 16)] = (int(match[2]), tables)
        elif match := _TIMES.match(line):
            times = int(match[1])
        elif line.startswith("| at "):
            tables.append([times, []])
            times = 1
        elif match := _FIELD.match(line):
            at, count, size, name, bits = match.groups()
            fields = tables[-1][1]
            if int(at) != sum((c or 1) * s for _, c, s, _ in fields):
                raise Wrong(f"{name} is not at {at}")
            fields.append((name, int(count) if count else None,
                           None if size == "the rest" else int(size),
                           ~0 if bits == "any" else int(bits[:-1], 16)))
    return found


def _value(reader, name, size, bits):
    value = reader.number(size)
    if value & ~bits:
        raise Wrong(f"{name} is {value:x}")
    return value


def _table(reader, fields):
    found = {}
    for name, count, size, bits in fields:
        if size is None:
            found[name] = reader.bytes(reader.left)
        elif count is None:
            found[name] = _value(reader, name, size, bits)
        else:
            found[name] = [_value(reader, name, size, bits)
                           for _ in range(count)]
    return found


def sections(state):
    """(type, tables) in their order; a table is a list of as many dictionaries
    as there are, mostly one."""
    known, reader, found = _tables(), Reader(state), []
    while reader.left:
        number, version, length = reader.fields("HHI")
        inside = Reader(reader.bytes(length))
        if number not in known or version > known[number][0]:
            raise Wrong(f"section {number:02x} of version {version}")
        tables = known[number][1]
        if number == 0x13 and length == 16:
            tables = tables[:1]  # there is no current VMCS
        found.append((number, [[_table(inside, fields) for _ in range(times)]
                               for times, fields in tables]))
        try:
            inside.end()
        except Wrong as reason:
            raise Wrong(f"section {number:02x}: {reason}") from reason
    return found


def vmcs(contents):
    """The fields of the VMCS in section 13, and what is before them."""
    found = dict(zip(("revision", "abort", "launched", "zero"),
                     Reader(contents).fields("4I")))
    for line in _TEXT.splitlines():
        if match := _VMCS_FIELD.match(line):
            at, size = int(match[1]), int(match[2])
            found[match[3]] = int.from_bytes(contents[at:at + size], "little")
    return found
