#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the function names of a linked image as an assembly table.

Usage: symbols.py NM IMAGE OUTPUT       (IMAGE may be - for an empty table)

The table goes to the section .symbols, which the linker script puts behind
all code, so that linking it in does not move the addresses it lists. Its form
is in lib/symbol_table.h, which reads it.
"""
import collections
import subprocess
import sys

#: A byte of a name stands for one of these.
PIECES = 256

#: Between names while pieces are looked for; no piece holds it.
BORDER = "\n"


def functions(nm, image):
    """Sorted (address, name) of the code symbols, one name per address."""
    out = subprocess.run([nm, image], check=True, capture_output=True,
                         text=True)
    found = {}
    for line in out.stdout.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in "tT":
            # gcc's "name.constprop.0" is `name` to people.
            name = fields[2].split(".")[0]
            found.setdefault(int(fields[0], 16), name)
    return sorted(found.items())


def frequent_pair(text):
    """The two characters that follow each other most often, if any do again."""
    counts = collections.Counter(zip(text, text[1:]))
    return max(((count, pair) for pair, count in counts.items()
                if count > 1 and BORDER not in pair), default=(0, None))[1]


def pack(names):
    """(pieces, names as bytes that number them).

    Two pieces that follow each other most often become one, again and again.
    Meanwhile each piece is a character of its own: the letters are what they
    are, the others lie beyond what a name can hold.
    """
    text = BORDER.join(names)
    pieces = {letter: letter for letter in sorted(set(text) - {BORDER})}
    while len(pieces) < PIECES:
        pair = frequent_pair(text)
        if not pair:
            break
        both = chr(PIECES + len(pieces))
        pieces[both] = "".join(pieces[piece] for piece in pair)
        text = text.replace("".join(pair), both)
    number = {piece: i for i, piece in enumerate(pieces)}
    return list(pieces.values()), [bytes(number[piece] for piece in name)
                                   for name in text.split(BORDER)]


def distance_bytes(distance):
    out = bytearray()
    while distance > 0x7f:
        out.append(distance & 0x7f | 0x80)
        distance >>= 7
    out.append(distance)
    return bytes(out)


def encode(table):
    """The bytes of a table of sorted (address, name)."""
    pieces, names = pack([name for _, name in table])
    pieces += [""] * (PIECES - len(pieces))
    out = bytearray()
    for piece in pieces:
        out += piece.encode("ascii") + b"\0"
    before = 0
    for (address, _), name in zip(table, names):
        out += distance_bytes(address - before) + bytes([len(name)]) + name
        before = address
    return bytes(out)


def write_table(output, table):
    output.write("; Made by tools/symbols.py.\n"
                 "section .symbols progbits alloc noexec write align=1\n"
                 "global symbols_start, symbols_end\n"
                 "symbols_start:\n")
    for at in range(0, len(table), 16):
        row = ", ".join(str(byte) for byte in table[at:at + 16])
        output.write(f"\tdb {row}\n")
    output.write("symbols_end:\n")


def main():
    nm, image, path = sys.argv[1:]
    table = b"" if image == "-" else encode(functions(nm, image))
    with open(path, "w", encoding="ascii") as output:
        write_table(output, table)


if __name__ == "__main__":
    main()
