# SPDX-License-Identifier: MIT
"""Which tests there are: one function per kind, and what each needs built."""

import functools
import os
import subprocess
import sys

import tree as source_tree
from suite import engines, task
from suite.task import Task

ROOT = source_tree.ROOT

SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    "CMOCKA_MESSAGE_OUTPUT": "TAP",
}

#: What a short run of a fuzzer is: the same inputs each time, unless the
#: machine is so slow that the seconds end it first, or forbids fixed addresses.
FUZZ_RUNS = 100000
FUZZ_SECONDS = 8


def checks(_options):
    import check
    for name in sorted(check.CHECKS):
        yield Task(f"check/{name}", "check",
                   [sys.executable, "tools/check.py", name], task.read_check,
                   limit=600)


def programs(pattern, kind):
    """The cmocka programs of tests/unit."""
    for source in sorted(ROOT.glob(f"tests/unit/{pattern}.c")):
        yield Task(f"{kind}/{source.stem}", kind, [f"build/unit/{source.stem}"],
                   task.read_tap, environment=SANITIZERS)


def unit(_options):
    return programs("test_*", "unit")


def threads(_options):
    yield from programs("tsan_*", "threads")
    yield from programs("weave_*", "threads")


@functools.cache
def fixed_addresses():
    """Words before a program that is to have the same addresses each time, as
    libFuzzer remembers some among the values that were compared; none where a
    container forbids it."""
    words = ["setarch", "-R"]
    try:
        done = subprocess.run([*words, "true"], check=False,
                              capture_output=True)
    except FileNotFoundError:
        return []
    return words if done.returncode == 0 else []


def fuzz(options):
    for source in sorted(ROOT.glob("tests/fuzz/fuzz_*.c")):
        yield fuzz_task(source.stem, options.fuzz_seconds)


def fuzz_task(name, long_seconds):
    """The short run starts from the corpus in the tree and keeps nothing; the
    long one goes on from what earlier long ones have found."""
    short = long_seconds is None
    seconds = FUZZ_SECONDS if short else long_seconds
    seeds = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(
        f"tests/fuzz/corpus/{name.removeprefix('fuzz_')}/*"))
    findings = ROOT / "build/fuzz/findings"
    findings.mkdir(parents=True, exist_ok=True)

    command = [f"build/fuzz/{name}", f"-max_total_time={seconds}",
               f"-artifact_prefix={findings}/{name}-", "-print_final_stats=1"]
    if seeds:
        command.append(f"-seed_inputs={','.join(seeds)}")
    if short:
        # Without a folder of its own libFuzzer keeps nothing.
        command += ["-seed=1", f"-runs={FUZZ_RUNS}"]
        command = fixed_addresses() + command
    else:
        grown = f"build/fuzz/corpus/{name}"
        (ROOT / grown).mkdir(parents=True, exist_ok=True)
        command.append(grown)
    return Task(f"fuzz/{name}", "fuzz", command, task.read_fuzzer,
                limit=seconds + 60, environment=SANITIZERS, seconds=seconds)


#: How long a script takes that is not soon at its end: if it began last, the
#: other core would be idle meanwhile.
SCRIPT_SECONDS = {"model": 120, "mutants": 300}


def scripts(_options):
    """tests/X/run.py for an X that brings its own driver: prints lines."""
    for driver in sorted(ROOT.glob("tests/*/run.py")):
        name = driver.parent.name
        yield Task(name, "script", [sys.executable, str(driver)],
                   task.read_lines, limit=1800,
                   seconds=SCRIPT_SECONDS.get(name, 30))


#: Folders whose test_*.py are unittest modules, and the seconds of long ones.
PYTHON_FOLDERS = ("front", "checks", "build")
PYTHON_SECONDS = {"test_build": 40, "test_runs": 15}


def python(_options):
    for folder in PYTHON_FOLDERS:
        for file in sorted(ROOT.glob(f"tests/{folder}/test_*.py")):
            yield Task(f"{folder}/{file.stem}", "python",
                       [sys.executable, "tests/unittest_lines.py", str(file)],
                       task.read_lines, limit=300,
                       seconds=PYTHON_SECONDS.get(file.stem, 3))


def machine(options):
    library = ROOT / "tests/machine"
    sys.path.insert(0, str(library))
    import lib
    for file in sorted(library.glob("test_*.py")):
        prefix = f"machine/{file.stem.removeprefix('test_')}"
        program = [sys.executable, str(library / "lib.py"), str(file)]
        try:
            tests = lib.load(file)
        except Exception:
            # Run as a test it says what is wrong with the file, and fails.
            yield Task(prefix, "machine", program + ["-"], task.read_verdict)
            continue
        for test in tests:
            if test.long and not options.long:
                continue
            yield Task(f"{prefix}/{test.name}", "machine",
                       program + [test.name], task.read_verdict,
                       limit=test.limit, seconds=test.seconds,
                       skip=engines.why_not(test.engine))


#: kind: (its tests, the make targets that must be built before)
KINDS = {
    "check": (checks, ["all"]),
    "unit": (unit, ["unit"]),
    "threads": (threads, ["unit"]),
    "fuzz": (fuzz, ["fuzzers"]),
    "script": (scripts, []),
    "python": (python, ["all"]),
    "machine": (machine, ["all"]),
}


def find(options):
    """All tasks of the kinds that are wanted, in a fixed order."""
    os.chdir(ROOT)
    found = []
    for kind, (tests, _) in KINDS.items():
        if not options.only or kind in options.only:
            found += tests(options)
    return found


def make_targets(tasks):
    """What has to be built for these tasks."""
    targets = []
    for item in tasks:
        for target in KINDS[item.kind][1]:
            if target not in targets:
                targets.append(target)
    return targets
