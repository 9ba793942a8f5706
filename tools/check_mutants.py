#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each mutant can be made, of the code as it is, and has its test; the document
lists them. What changes a line that a mutant is made of is told so at once, and
not by the long run of them all (tests/mutants/run.py)."""

import re
import sys

import tree

sys.path.insert(0, str(tree.ROOT / "tests/mutants"))
import run  # pylint: disable=wrong-import-position

DOCUMENT = "docs/TESTING.md"


def test_of(mutant):
    """Where its test stands, and as what."""
    kind, _, rest = mutant.program.partition("_")
    if kind == "machine":
        return f"tests/machine/test_{rest}.py", rf"^def {mutant.test}\("
    return f"tests/unit/{mutant.program}.c", rf"\b{mutant.test}\b"


def check_mutants(source_tree):
    found = list(run.mutants(source_tree.root))
    for mutant in found:
        try:
            mutant.source(source_tree.root)
        except run.Broken as broken:
            yield f"{mutant.name}: {broken}"
        path, pattern = test_of(mutant)
        text = source_tree.text(path) if source_tree.exists(path) else ""
        if not re.search(pattern, text, re.MULTILINE):
            yield f"{mutant.name}: {path} has no {mutant.test}"
    if found and run.table(found) not in source_tree.text(DOCUMENT):
        yield (f"{DOCUMENT}: the table of mutants is not what "
               "tests/mutants/run.py --table prints")


CHECKS = {"mutants": check_mutants}
