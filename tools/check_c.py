# SPDX-License-Identifier: MIT
"""What other people's tools say of the C code: format, headers, analysers.

The two slow ones work file by file and remember the files that were clean, by
a digest of everything that went in: the tool, its options, the file and all
that it includes. A second run looks only at what has changed.
"""

import concurrent.futures
import hashlib
import re
import shutil
import subprocess
import threading

import check_layers

#: How many tools may run at the same time, over all checks.
SLOTS = threading.BoundedSemaphore(2)

#: Options of gcc that clang does not know.
GCC_ONLY = re.compile(r"-Wlogical-op|-Wduplicated-|-Wframe-larger-than")

#: How many states the analyzer looks at in a function: a fifth of its default
#: takes a fifth of the time. The check tidy-deep goes all the way.
SHALLOW = ["-Xclang", "-analyzer-config", "-Xclang", "max-nodes=45000"]

#: Not compiled like the rest of their folder.
MORE_FLAGS = {"tests/machine/stub.c": ["-ffreestanding", "-m32"]}

CPPCHECK = ["cppcheck", "-q", "--enable=warning,portability,performance",
            "--inline-suppr", "--std=c11", "--platform=unix64", "--force",
            "--error-exitcode=1", "-I.",
            "--template={file}:{line}: {id}: {message}"]


def run(tree, command):
    """(exit status, what it said) of one tool, in the root of the tree."""
    with SLOTS:
        done = subprocess.run(command, cwd=tree.root, text=True, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.strip()


def c_files(tree):
    """Ours to format and analyse; compile_fail holds wrong code on purpose."""
    return [path for path in tree.ending(".c", ".h")
            if not path.startswith("tests/compile_fail/")]


def check_format(tree):
    files = tree.ending(".c", ".h")
    if not files:
        return []
    status, said = run(tree, ["clang-format", "--dry-run", "-Werror", *files])
    first_lines = [line for line in said.splitlines() if ": error:" in line]
    return first_lines if status else []


def check_headers(tree):
    """Every header compiles on its own."""
    flags = tree.make_words("CPPFLAGS") + tree.make_words("CFLAGS")

    def compile_alone(path):
        return run(tree, ["gcc", *flags, "-fsyntax-only", "-x", "c", path])

    headers = [path for path in tree.ending(".h")
               if check_layers.floor_of(path)]
    return each_file(tree, "headers", flags, headers, compile_alone)


def check_tidy(tree):
    return tidy(tree, SHALLOW)


def check_tidy_deep(tree):
    return tidy(tree, [])


def tidy(tree, more):
    common = tree.make_words("CPPFLAGS") + more
    image = common + known_to_clang(tree.make_words("CFLAGS"))
    host = common + known_to_clang(tree.make_words("HOST_CFLAGS"))

    def analyse(path):
        flags = host if path.startswith("tests/") else image
        flags = flags + MORE_FLAGS.get(path, [])
        status, said = run(tree, ["clang-tidy", "--quiet", path, "--", *flags])
        return status, tidy_lines(tree, said)

    sources = [path for path in c_files(tree) if path.endswith(".c")]
    config = [tree.text(path) for path in tree.ending(".clang-tidy")]
    return each_file(tree, "tidy", image + host + config, sources, analyse)


def known_to_clang(flags):
    return [flag for flag in flags if not GCC_ONLY.match(flag)]


def tidy_lines(tree, said):
    """Findings and their notes, without quoted code, from the root on."""
    kept = [line.replace(f"{tree.root}/", "") for line in said.splitlines()
            if re.match(r"^\S+:\d+:\d+: |^error: ", line)]
    return "\n".join(kept) or said


def each_file(tree, name, options, paths, examine):
    """The complaints of examine(path) for every path that is not known clean.
    """
    memory = tree.root / "build/check" / name
    memory.mkdir(parents=True, exist_ok=True)

    def finding(path):
        mark = memory / digest(tree, path, options)
        if mark.exists():
            return None
        status, said = examine(path)
        if status:
            return said
        mark.touch()
        return None

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [line for said in pool.map(finding, paths) if said
                for line in said.splitlines()]


def digest(tree, path, options):
    """Names everything that the verdict on a file depends on."""
    text = hashlib.sha256()
    for word in [path, *options]:
        text.update(word.encode() + b"\0")
    for file in [path, *sorted(check_layers.include_closure(tree, path))]:
        text.update(tree.text(file).encode() + b"\0")
    return text.hexdigest()[:32]


def check_cppcheck(tree):
    """Suppressions stand in the code, each with its reason."""
    sources = [path for path in c_files(tree) if path.endswith(".c")]
    if not sources:
        return []
    memory = tree.root / "build/check/cppcheck"
    memory.mkdir(parents=True, exist_ok=True)
    status, said = run(tree, [*CPPCHECK, f"--cppcheck-build-dir={memory}",
                              *sources])
    if status and not said:
        shutil.rmtree(memory)
        return ["cppcheck failed without a word"]
    return said.splitlines() if status else []


ON_REQUEST = {"tidy-deep": check_tidy_deep}

CHECKS = {"format": check_format, "headers": check_headers,
          "cppcheck": check_cppcheck, "tidy": check_tidy}
