#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the function names of a linked image as an assembly table.

Usage: symbols.py NM IMAGE OUTPUT       (IMAGE may be - for an empty table)

The table goes to the section .symbols, which the linker script puts behind
all code, so that linking it in does not move the addresses it lists.
"""
import subprocess
import sys


def functions(nm, image):
    """Sorted (address, name) of the code symbols, one name per address."""
    if image == "-":
        return []
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


def write_table(output, table):
    output.write("; Made by tools/symbols.py.\n"
                 "section .symbols progbits alloc noexec write align=8\n"
                 "global symbols_count, symbols_addresses\n"
                 "global symbols_name_offsets, symbols_names\n"
                 f"symbols_count: dd {len(table)}\n"
                 "symbols_addresses:\n")
    for address, _ in table:
        output.write(f"\tdd {address:#x}\n")
    output.write("symbols_name_offsets:\n")
    offset = 0
    for _, name in table:
        output.write(f"\tdd {offset}\n")
        offset += len(name) + 1
    output.write("symbols_names:\n")
    for _, name in table:
        output.write(f"\tdb '{name}', 0\n")


def main():
    nm, image, path = sys.argv[1:]
    with open(path, "w", encoding="ascii") as output:
        write_table(output, functions(nm, image))


main()
