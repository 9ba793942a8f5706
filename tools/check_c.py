# SPDX-License-Identifier: MIT
"""What other people's tools say of the C code: format, headers, analysers.

The slow ones work file by file and remember the files that were clean, by a
digest of what went in: the options, the file and what it includes. A second run
looks only at what has changed.
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

#: clang's analyzer, without what wants memcpy_s, which nobody has.
ANALYZER = ("-*,clang-analyzer-*,-clang-analyzer-security.insecureAPI."
            "DeprecatedOrUnsafeBufferHandling")

#: How many states the analyzer looks at in a function: a fifth of its default
#: takes a fifth of the time. The check analyzer-deep goes all the way.
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
    if not status:
        return []
    findings = [line for line in said.splitlines() if ": error:" in line]
    return findings or [said or "clang-format failed without a word"]


def check_headers(tree):
    """Every header compiles on its own."""
    flags = tree.make_words("CPPFLAGS") + tree.make_words("CFLAGS")

    def compile_alone(path):
        return run(tree, ["gcc", *flags, "-fsyntax-only", "-x", "c", path])

    headers = [path for path in tree.ending(".h")
               if check_layers.floor_of(path)]
    return each_file(tree, "headers", flags, headers, compile_alone)


def check_tidy(tree):
    """All that .clang-tidy lists but the analyzer, which is slow."""
    config = [tree.text(path) for path in tree.ending(".clang-tidy")]
    return tidy(tree, "tidy", ["--checks=-clang-analyzer-*"], [], config)


def check_analyzer(tree):
    return tidy(tree, "analyzer", ["--checks=" + ANALYZER], SHALLOW, None)


def check_analyzer_deep(tree):
    return tidy(tree, "analyzer", ["--checks=" + ANALYZER], [], None)


def tidy(tree, name, options, more_flags, config):
    """Without `config` a file is looked at again only when it has itself
    changed, not when a header has."""
    common = tree.make_words("CPPFLAGS") + more_flags
    image = common + known_to_clang(tree.make_words("CFLAGS"))
    host = common + known_to_clang(tree.make_words("HOST_CFLAGS"))

    def analyse(path):
        flags = host if path.startswith("tests/") else image
        flags = flags + MORE_FLAGS.get(path, [])
        status, said = run(tree, ["clang-tidy", "--quiet", *options, path,
                                  "--", *flags])
        return status, tidy_lines(tree, said)

    sources = [path for path in c_files(tree) if path.endswith(".c")]
    return each_file(tree, name, image + host + options + (config or []),
                     sources, analyse, with_headers=config is not None)


def known_to_clang(flags):
    return [flag for flag in flags if not GCC_ONLY.match(flag)]


def tidy_lines(tree, said):
    """Findings and their notes, without quoted code, from the root on."""
    kept = [line.replace(f"{tree.root}/", "") for line in said.splitlines()
            if re.match(r"^\S+:\d+:\d+: |^error: ", line)]
    return "\n".join(kept) or said


def each_file(tree, name, options, paths, examine, with_headers=True):
    """The complaints of examine(path) for every path that is not known clean.
    """
    memory = tree.root / "build/check" / name
    memory.mkdir(parents=True, exist_ok=True)

    def finding(path):
        headers = (check_layers.include_closure(tree, path)
                   if with_headers else [])
        mark = memory / digest(tree, [path, *sorted(headers)], options)
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


def digest(tree, files, options):
    """Names everything that the verdict on a file depends on: not where the
    tree lies, which only -ffile-prefix-map tells."""
    options = [word.replace(str(tree.root), ".") for word in options]
    text = hashlib.sha256()
    for word in [*files, *options, *map(tree.text, files)]:
        text.update(word.encode() + b"\0")
    return text.hexdigest()[:32]


def check_cppcheck(tree):
    """Suppressions stand in the code, each with its reason.

    What it says counts, not its status: version 2.10 remembers what it has
    found across files, but ends with 0 when it says so again.
    """
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
    return said.splitlines()


ON_REQUEST = {"analyzer-deep": check_analyzer_deep}

CHECKS = {"format": check_format, "headers": check_headers,
          "cppcheck": check_cppcheck, "tidy": check_tidy,
          "analyzer": check_analyzer}
