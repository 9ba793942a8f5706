# SPDX-License-Identifier: MIT
"""What docs/STYLE.md asks for and no other tool looks at."""

import re

import check_layers

COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)

#: A function's declaration in a header: name, parameters without parentheses.
DECLARATION = re.compile(r"\b(\w+)\s*\(([^()]*)\)[^;{}()]*(?:\([^;{}]*\))?;")

TRUTH_VALUE = re.compile(r"\b(bool|_Bool)\s+\w+")


def check_style(tree):
    """No public function takes a bool: nobody can read `true` in a call."""
    for path in tree.ending(".h"):
        if not check_layers.floor_of(path):
            continue
        text = COMMENT.sub(blank_lines, tree.text(path))
        for found in DECLARATION.finditer(text):
            name, parameters = found.groups()
            if TRUTH_VALUE.search(parameters):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{path}:{line}: {name} takes a bool; use an enum"


def blank_lines(comment):
    return "\n" * comment.group().count("\n")


CHECKS = {"style": check_style}
