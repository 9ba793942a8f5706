#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/RECORD.md says of every field of a VM's state record where it is, and
the C tables say the same.

	tools/check_record.py --write	corrects all but the meanings there

What a field means is written there by hand, and stays when a table changes; a
new field has none, which is a finding.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

DOCUMENT = "docs/RECORD.md"
SOURCES = ("tests/unit/record_table.c", "migrate/record.c",
           "migrate/record_machine.c", "migrate/record_nested.c",
           "migrate/record_vcpu.c", "nested/vmcs12.c", "nested/capability.c")
NAMES = "lib/vmcs.h"
NAMED = re.compile(r"^\tVMCS_(\w+) = (0x\w+),", re.MULTILINE)
WRAPPED = ("record_begin", "record_end", "record_put", "wire_put_bytes")
COMPILER = ("gcc", "-std=gnu11", "-O1", "-I.", "-ffunction-sections",
            "-Wl,--gc-sections", *(f"-Wl,--wrap={name}" for name in WRAPPED))
BEGIN = "<!-- What follows but for the meanings: tools/check_record.py -->\n"
VMCS12 = "## The contents of nested VMX, by encoding\n\n"
VMCS12_HEAD = "| at | bytes | field | encoding |\n|---|---|---|---|\n"
HEAD = "| at | bytes | field | bits | meaning |\n|---|---|---|---|---|\n"
SECTION = re.compile(r"^## (\w\w) ")
ROW = re.compile(r"^\| \d+ \| [^|]* \| (\S+) \| [^|]* \| (.*) \|$")


def told(root):
    """What the C code says, as lines of words."""
    sources = [path for path in SOURCES if (root / path).exists()]
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "record_table"
        subprocess.run([*COMPILER, *sources, "-o", program], cwd=root,
                       check=True, stdin=subprocess.DEVNULL)
        text = subprocess.run([program], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
    return [line.split(" ") for line in text.splitlines()]


def sections(lines):
    """(type, version, name, blocks); a block is fields, which are (name,
    count, bytes, bits), and begins anew where a name comes again."""
    found = []
    for kind, *words in lines:
        if kind == "section":
            blocks = []
            found.append((words[0], words[1], " ".join(words[2:]), blocks))
            layout = None
        elif kind == "layout":
            if words != layout:
                blocks.append([])
            layout = words
        else:
            field = ("contents", 1, 0, "") if kind == "bytes" else (
                words[0], int(words[1]), int(words[2]), words[3])
            if not blocks:
                blocks.append([])
            if any(field[0] == name for name, *_ in blocks[-1]):
                blocks.append([])
            blocks[-1].append(field)
    return found


def meanings_of(text):
    """By section and field."""
    found, section = {}, None
    for line in text.splitlines():
        if head := SECTION.match(line):
            section = head[1]
        if row := ROW.match(line):
            found[section, row[1]] = row[2].strip()
    return found


def block_text(section, block, times, meanings):
    at, rows = 0, ""
    for name, count, size, bits in block:
        every = int(bits, 16) if bits else -1
        allowed = "any" if every & (1 << 8 * size) - 1 == \
            (1 << 8 * size) - 1 else f"{every:x}H"
        how_many = "the rest" if not size else (
            f"{size}" if count == 1 else f"{count} x {size}")
        meaning = meanings.get((section, name), "")
        rows += f"| {at} | {how_many} | {name} | {allowed} | {meaning} |\n"
        at += count * size
    head = f"{times} times, {at} bytes each:\n\n" if times > 1 else ""
    return head + HEAD + rows + "\n"


def vmcs12(root, lines):
    """Fields of the current VMCS, in their order."""
    if not lines:
        return ""
    names = {int(value, 16): name for name, value in
             NAMED.findall((root / NAMES).read_text("utf-8"))}
    return VMCS12 + VMCS12_HEAD + "".join(
        f"| {at} | {size} | {names[int(encoding, 16)]} | {encoding}H |\n"
        for at, size, encoding in sorted(lines, key=lambda line:
                                         int(line[0])))


def tables(root, meanings):
    lines, text = told(root), ""
    of_vmcs12 = [words for kind, *words in lines if kind == "vmcs12"]
    for number, version, name, blocks in sections(
            line for line in lines if line[0] != "vmcs12"):
        text += f"## {number} {name}, version {version}\n\n"
        while blocks:
            times = next((i for i, block in enumerate(blocks)
                          if block != blocks[0]), len(blocks))
            text += block_text(number, blocks[0], times, meanings)
            blocks = blocks[times:]
    text += vmcs12(root, of_vmcs12)
    return text.rstrip("\n") + "\n"


def check_record(tree):
    if not tree.exists(DOCUMENT):
        return
    text = tree.text(DOCUMENT)
    meanings = meanings_of(text)
    if text.partition(BEGIN)[2] != "\n" + tables(
            pathlib.Path(tree.root), meanings):
        yield (f"{DOCUMENT} is not what the C tables say: "
               "tools/check_record.py --write")
    for (section, name), meaning in meanings.items():
        if not meaning:
            yield f"{DOCUMENT}: what {name} of section {section} means"


CHECKS = {"record": check_record}


def main(arguments):
    if arguments != ["--write"]:
        print(__doc__, file=sys.stderr)
        return 2
    root = pathlib.Path(__file__).resolve().parent.parent
    path = root / DOCUMENT
    text = path.read_text(encoding="utf-8")
    head = text.partition(BEGIN)[0] + BEGIN
    path.write_text(head + "\n" + tables(root, meanings_of(text)),
                    encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
