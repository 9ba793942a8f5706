# SPDX-License-Identifier: MIT
"""The documents name only what exists: paths, make targets, commands, links."""

import fnmatch
import posixpath
import re
import subprocess
import sys

import check_layers

CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#]+)(#[^)]*)?\)")
PATH = re.compile(r"^[\w.*/-]+$")
MAKE = re.compile(r"^make(?: -j\d+)? ([a-z][\w-]*)")
UMBRA = re.compile(r"^\./umbra ([a-z]+)")

ARCHITECTURE = "docs/ARCHITECTURE.md"

#: | `lib/` | pure | what it holds | whom it uses |
FLOOR_ROW = re.compile(r"^\| `([\w/]+)/` \| (?:pure|hard) \| [^|]* \| "
                       r"([^|]*?) ?\|$")
SHORT_FLOORS = {"cpu": "arch/x86/cpu", "ept": "arch/x86/ept",
                "vmx": "arch/x86/vmx"}

#: Functions, tests and rules by name, and where they are made.
CLAUSES = "docs/NESTED-CHECKS.md"
RULES = "nested/rules.h"
NAME = re.compile(r"^\w+$")
DEFINED = re.compile(r"^(?:[\w*][\w* ]*?\b)?(\w+)\(", re.MULTILINE)
CASE = re.compile(r'"(\w+)"')
RULE = re.compile(r"X\((\w+),")

#: A guest's settings: | `key=values`, ... | what they do |
GUESTS = "docs/GUESTS.md"
SETTINGS = "core/settings.c"
SETTINGS_KNOWN = re.compile(r"^static .* known\[\] = \{(.*?)^\};",
                            re.MULTILINE | re.DOTALL)
SETTINGS_ROWS = re.compile(r"^## Its settings$(.*?)^## ",
                           re.MULTILINE | re.DOTALL)
SETTING = re.compile(r"`([\w.]+)=[^`]*`")
#: The loader takes these from a module's words.
LOADERS = {"name", "mem", "cpus", "nested"}

#: What the build makes: named in documents, absent from a fresh tree.
BUILT = ("build/",)


def check_docs(tree):
    commands = front_end_commands(tree)
    targets = make_targets(tree)
    for path in tree.ending(".md"):
        for number, line in tree.lines(path):
            for reason in wrong_names(tree, path, line, commands, targets):
                yield f"{path}:{number}: {reason}"


def wrong_names(tree, path, line, commands, targets):
    for code in CODE.findall(line) + command_line(line):
        make, umbra = MAKE.match(code), UMBRA.match(code)
        if make and make.group(1) not in targets:
            yield f"there is no `make {make.group(1)}`"
        if umbra and umbra.group(1) not in commands:
            yield f"there is no `./umbra {umbra.group(1)}`"
        if looks_like_path(tree, code) and not names_something(tree, code):
            yield f"`{code}` does not exist"
    for target, _ in LINK.findall(line):
        if "://" in target:
            continue
        full = posixpath.normpath(posixpath.join(posixpath.dirname(path),
                                                 target))
        if not tree.exists(full):
            yield f"the link to {target} leads nowhere"


def command_line(line):
    """An indented line of a document that is a command to type."""
    found = re.match(r"^(?:\t| {4})(?:\$ )?((?:make|\./umbra) .*)$", line)
    return [found.group(1)] if found else []


def looks_like_path(tree, code):
    """A word with a slash whose first part is a folder of the tree, or a word
    that ends like one of our files."""
    if not PATH.match(code) or code.startswith(("/", "-")):
        return False
    first = code.split("/")[0]
    if "/" in code:
        return tree.exists(first) and not code.startswith(BUILT)
    return code.endswith((".md", ".py", ".asm", ".ld"))


def names_something(tree, code):
    """X and * stand for any name; endings may be left out."""
    pattern = re.sub(r"\bX\b|(?<=_)X(?=\.)", "*", code)
    if "*" in pattern:
        return any(fnmatch.fnmatch(path, pattern) for path in tree.paths)
    bare = code.rstrip("/").removeprefix("./")
    if any(tree.exists(bare + ending) for ending in ("", ".c", ".h")):
        return True
    return "/" not in code and any(posixpath.basename(path) == code
                                   for path in tree.paths)


def make_targets(tree):
    """The targets that a Makefile declares, phony or not, without patterns."""
    if not tree.exists("Makefile"):
        return set()
    found = set()
    for line in tree.text("Makefile").splitlines():
        rule = re.match(r"^([a-z][\w .-]*?)\s*:(?![=:])", line)
        if rule:
            found |= set(rule.group(1).split())
    return found


def front_end_commands(tree):
    """What `./umbra --help` lists, one to a line, four blanks in."""
    if not tree.exists("umbra"):
        return set()
    done = subprocess.run([sys.executable, "umbra", "--help"], cwd=tree.root,
                          text=True, check=True, stdout=subprocess.PIPE)
    return set(re.findall(r"^    ([a-z]+)\b", done.stdout, re.MULTILINE))


def check_floor_table(tree):
    """docs/ARCHITECTURE.md says who uses whom, as tools/check_layers.py does.
    """
    if not tree.exists(ARCHITECTURE):
        return
    rules = check_layers.MAY_INCLUDE
    built = {posixpath.dirname(word) for name in ("PURE", "HARD", "ASM")
             for word in tree.make_words(name)}
    rows = {match.group(1): (number, match.group(2))
            for number, line in tree.lines(ARCHITECTURE)
            if (match := FLOOR_ROW.match(line))}
    for floor in sorted(built - set(rows)):
        yield f"{ARCHITECTURE}: the table of floors lacks {floor}/"
    for floor in sorted(built & set(rows)):
        number, words = rows[floor]
        used = {SHORT_FLOORS.get(word, word) for word in words.split()}
        if words == "all but boot":
            used = built - {floor, "boot"}
        wanted = built & set(rules[floor])
        if used != wanted:
            yield (f"{ARCHITECTURE}:{number}: {floor} may use "
                   f"{' '.join(sorted(wanted)) or 'nothing'}")


def check_clauses(tree):
    """docs/NESTED-CHECKS.md names functions, tests and rules that exist, and
    every rule of a VM entry."""
    if not tree.exists(CLAUSES):
        return
    known = set()
    for path in tree.ending(".c", ".h", ".asm", ".py"):
        known |= set(DEFINED.findall(tree.text(path)))
        known |= set(CASE.findall(tree.text(path)))
    rules = set(RULE.findall(tree.text(RULES)))
    named = set()
    for number, line in tree.lines(CLAUSES):
        for name in CODE.findall(line):
            if not NAME.match(name):
                continue
            named.add(name)
            if name not in (rules if name.isupper() else known):
                yield f"{CLAUSES}:{number}: there is no {name}"
    for rule in sorted(rules - named):
        yield f"{CLAUSES}: the rule {rule} is missing"


def check_settings(tree):
    """docs/GUESTS.md lists the settings that core/settings.c knows."""
    if not tree.exists(SETTINGS):
        return
    known = set(re.findall(r'"([^"]+)"', SETTINGS_KNOWN.search(
        tree.text(SETTINGS)).group(1))) | LOADERS
    rows = SETTINGS_ROWS.search(tree.text(GUESTS)).group(1)
    told = {key for line in rows.splitlines()
            for key in SETTING.findall(line.split(" | ")[0])}
    for key in sorted(known - told):
        yield f"{GUESTS}: the table of settings lacks {key}="
    for key in sorted(told - known):
        yield f"{GUESTS}: {SETTINGS} knows no {key}="


CHECKS = {"docs": check_docs, "clauses": check_clauses,
          "floors": check_floor_table, "settings": check_settings}
