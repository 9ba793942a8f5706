# SPDX-License-Identifier: MIT
"""What holds for every text file: licence line, clean line ends, no marks."""

import re
import subprocess

SOURCES = (".c", ".h", ".asm", ".inc", ".S", ".py", ".sh", ".ld", ".pml", ".mk")

#: Files of other kinds, or without an ending, that are sources too.
NAMED_SOURCES = {"umbra", ".ci/run"}

#: Not ours to format: what fuzzers start from.
BINARY_FOLDERS = ("tests/fuzz/corpus/",)

LICENCE = re.compile(r"SPDX-License-Identifier: MIT\b")

# Written so that this file does not hold them itself.
MARKS = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")


def text_files(tree):
    for path in tree.paths:
        if not path.startswith(BINARY_FOLDERS):
            yield path


def check_licence(tree):
    """The first line names the licence; after a #! line, the second."""
    for path in text_files(tree):
        if not path.endswith(SOURCES) and path not in NAMED_SOURCES:
            continue
        head = tree.text(path).splitlines()[:2]
        if head and head[0].startswith("#!"):
            head = head[1:]
        if not head or not LICENCE.search(head[0]):
            yield f"{path}:1: no SPDX-License-Identifier line"


def check_text(tree):
    for path in text_files(tree):
        text = tree.text(path)
        if text and not text.endswith("\n"):
            yield f"{path}: the last line has no end"
        if text.endswith("\n\n"):
            yield f"{path}: ends with an empty line"
        for number, line in tree.lines(path):
            if line != line.rstrip():
                yield f"{path}:{number}: blanks at the end of the line"
            mark = MARKS.search(line)
            if mark:
                yield (f"{path}:{number}: {mark.group()}: do it, or say in "
                       "words why not")


def check_shell(tree):
    """Shell scripts parse, and stop at the first command that fails."""
    for path in text_files(tree):
        if not re.match(r"#!.*\bbash\b", tree.text(path)):
            continue
        done = subprocess.run(["bash", "-n", path], cwd=tree.root, text=True,
                              check=False, stderr=subprocess.PIPE)
        yield from done.stderr.splitlines()
        if "\nset -euo pipefail\n" not in tree.text(path):
            yield f"{path}:1: lacks set -euo pipefail"


CHECKS = {"shell": check_shell, "licence": check_licence, "text": check_text}
