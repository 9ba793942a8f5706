# SPDX-License-Identifier: MIT
"""Who may include whom; every source file in the Makefile; header guards.

Dependencies point one way. A file includes from its own floor and from the
floors that MAY_INCLUDE names for it, and from nowhere else; every include path
starts at the root of the tree, so that an include line names the floor it
reaches for.
"""

import posixpath
import re

#: floor: the floors whose headers it may include besides its own. Lower floors
#: first; docs/ARCHITECTURE.md gives the reasons.
MAY_INCLUDE = {
    "lib": [],
    "mm": ["lib"],
    "arch/x86/ept": ["lib", "mm"],
    "pml": ["lib", "mm", "arch/x86/ept"],
    "shadow": ["lib", "mm", "arch/x86/ept"],
    "nested": ["lib", "mm"],
    "devices": ["lib", "mm"],
    "emulate": ["lib", "mm"],
    "migrate": ["lib", "mm", "nested", "devices"],
    "loader": ["lib", "mm"],
    "acpi": ["lib", "mm"],
    "arch/x86/cpu": ["lib", "mm"],
    "arch/x86/vmx": ["lib", "mm", "devices", "emulate", "arch/x86/cpu",
                     "arch/x86/ept", "pml", "nested", "shadow"],
    "drivers": ["lib", "mm", "migrate", "arch/x86/cpu"],
    "core": ["lib", "mm", "arch/x86/ept", "pml", "shadow", "nested", "devices",
             "emulate", "migrate", "loader", "acpi", "arch/x86/cpu",
             "arch/x86/vmx", "drivers"],
    "boot": ["lib", "loader", "arch/x86/cpu", "core"],
}

#: Guests of our own run under Umbra, not in it: neither sees the other. What
#: they share is the format in loader/multiboot.h.
MAY_INCLUDE_IN_GUESTS = {
    "guests/lib": ["lib", "loader"],
    "guests/vmx": ["lib", "guests/lib"],
    "guests/diff": ["lib", "guests/lib"],
    "guests": ["lib", "guests/lib", "guests/vmx", "guests/diff"],
}

#: The pure files of a floor that also has hard ones: what all that they
#: include, directly or not, may belong to.
PURE_FILES_MAY_INCLUDE = {
    "arch/x86/vmx": ["lib", "mm"],
}

#: What a C compiler brings without a C library.
FREESTANDING_HEADERS = {"limits.h", "stdalign.h", "stdarg.h", "stdbool.h",
                        "stddef.h", "stdint.h", "stdnoreturn.h"}

INCLUDE = re.compile(r'^\s*[#%]\s*include\s*([<"])([^>"]+)[>"]')

SPACES = r"(hpa|gpa|ngpa|gva)"
PEEK = re.compile(rf"\b{SPACES}_value\b")
CONVERSION = re.compile(rf"\b{SPACES}\(\s*{SPACES}_raw\(")


def floor_of(path):
    """The floor that a file or header belongs to, or None (tests, guests)."""
    folder = posixpath.dirname(path)
    return folder if folder in MAY_INCLUDE else None


def folder_rule(path):
    """(folder, the floors it may include from), or None for tests."""
    folder = posixpath.dirname(path)
    rules = MAY_INCLUDE | MAY_INCLUDE_IN_GUESTS
    return (folder, rules[folder]) if folder in rules else None


def includes(tree, path):
    """(line number, bracket, included path) of every include line."""
    for number, line in tree.lines(path):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1), found.group(2)


def include_closure(tree, path):
    """Every file of the tree that `path` includes, directly or not."""
    seen = set()
    todo = [path]
    while todo:
        for _, bracket, target in includes(tree, todo.pop()):
            if bracket == '"' and target not in seen and tree.exists(target):
                seen.add(target)
                todo.append(target)
    return seen


def check_layers(tree):
    findings = []
    for path in tree.ending(".c", ".h", ".asm", ".inc"):
        rule = folder_rule(path)
        if rule:
            findings += check_includes(tree, path, *rule)
        findings += check_addresses(tree, path)
    findings += check_pure_files(tree)
    findings += check_object_lists(tree)
    return findings


def check_includes(tree, path, floor, allowed):
    for number, bracket, target in includes(tree, path):
        where = f"{path}:{number}:"
        if bracket == "<":
            if target not in FREESTANDING_HEADERS:
                yield f"{where} <{target}> is not a freestanding header"
            continue
        other = posixpath.dirname(target)
        if target.endswith(".c"):
            yield f"{where} a source file is compiled, not included"
        elif folder_rule(target) is None:
            yield (f"{where} \"{target}\" names no floor; include paths "
                   "start at the root of the tree")
        elif not tree.exists(target) and not is_generated(tree, target):
            yield f"{where} \"{target}\" does not exist"
        elif other != floor and other not in allowed:
            yield f"{where} {floor} may not include from {other}"


def is_generated(tree, target):
    """For nasm, made by the build from the C file of the same name."""
    base, ending = posixpath.splitext(target)
    return ending == ".inc" and (tree.exists(base + ".h")
                                 or tree.exists(base + ".c"))


def check_pure_files(tree):
    """In a floor of both kinds, a pure file reaches nothing hard."""
    for path in pure_sources(tree):
        floor = floor_of(path)
        allowed = PURE_FILES_MAY_INCLUDE.get(floor)
        if allowed is None:
            continue
        for target in sorted(include_closure(tree, path)):
            other = floor_of(target)
            if other != floor and other not in allowed:
                yield (f"{path}: is pure, but reaches {target}; pure files of "
                       f"{floor} may include from {' '.join(allowed)}")


def pure_sources(tree):
    return [word + ".c" for word in tree.make_words("PURE")]


def check_object_lists(tree):
    """Every source is in one of the Makefile's lists, and the reverse; every
    floor has its rule above."""
    for floor in tree.make_words("FLOORS"):
        if floor not in MAY_INCLUDE:
            yield f"Makefile: tools/check_layers.py has no rule for {floor}"
    listed = {word + ".c" for word in tree.make_words("PURE")
              + tree.make_words("HARD")}
    listed |= {word + ".asm" for word in tree.make_words("ASM")}
    present = {path for path in tree.ending(".c", ".asm") if floor_of(path)}
    for path in sorted(present - listed):
        yield f"{path}: is in no object list of the Makefile"
    for path in sorted(listed - present):
        yield f"Makefile: lists {path}, which does not exist"


def check_addresses(tree, path):
    """Address spaces are converted by looking up, never by a cast."""
    if path == "mm/addr.h" or path.startswith("tests/compile_fail/"):
        return
    for number, line in tree.lines(path):
        if PEEK.search(line):
            yield f"{path}:{number}: looks inside an address: use X_raw()"
        cast = CONVERSION.search(line)
        if cast and cast.group(1) != cast.group(2):
            yield (f"{path}:{number}: turns {cast.group(2)}_t into "
                   f"{cast.group(1)}_t: a translation is a lookup")


def check_guards(tree):
    """mm/addr.h is guarded by MM_ADDR_H, from its first directive on."""
    for path in tree.ending(".h"):
        guard = re.sub(r"[^A-Z0-9]", "_", path.upper())
        directives = [line for _, line in tree.lines(path)
                      if line.startswith("#")]
        wanted = [f"#ifndef {guard}", f"#define {guard}"]
        if directives[:2] != wanted or not directives[-1].startswith("#endif"):
            yield f"{path}:1: the include guard must be {guard}"


CHECKS = {"layers": check_layers, "guards": check_guards}
