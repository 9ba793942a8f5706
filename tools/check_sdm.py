# SPDX-License-Identifier: MIT
"""Every section of the SDM that the code cites has its number in docs/SDM.md,
and that table lists nothing else."""

import re

BLOCK_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
LINE_COMMENTS = re.compile(r"(?:^[^\n;]*;[^\n]*\n)+", re.MULTILINE)
LINE_START = re.compile(r"\s*\n[^\n;*]*?[*;]+ ?")

#: SDM vol. 3, "Title", chapter "Title" and "Title"
CITATION = re.compile(
    r"SDM\b[^\".]*(?:vol\.)?[^\".]*\"([^\"]+)\""
    r"((?:\s*(?:,|:|and|section|chapter)\s*)+\"[^\"]+\")*", re.IGNORECASE)
TITLE = re.compile(r"\"([^\"]+)\"")
ROW = re.compile(r"^\| ([^|]+?) \| [^|]+ \|$")

TABLE = "docs/SDM.md"


def check_sdm(tree):
    if not tree.exists(TABLE):
        return
    listed = {match.group(1): number for number, line in tree.lines(TABLE)
              if (match := ROW.match(line))}
    listed = {title: number for title, number in listed.items()
              if title not in ("title", "---")}
    cited = set()
    for path in tree.ending(".c", ".h", ".asm"):
        for title in titles(tree.text(path), path.endswith(".asm")):
            cited.add(title)
            if title not in listed:
                yield f"{path}: cites \"{title}\", which {TABLE} does not list"
    for title, number in listed.items():
        if title not in cited:
            yield f"{TABLE}:{number}: nothing cites \"{title}\""


def titles(text, is_assembly):
    """The section titles that the comments of a file cite."""
    comments = LINE_COMMENTS if is_assembly else BLOCK_COMMENT
    for comment in comments.finditer(text):
        plain = LINE_START.sub(" ", comment.group())
        for citation in CITATION.finditer(plain):
            yield from TITLE.findall(citation.group())


CHECKS = {"sdm": check_sdm}
