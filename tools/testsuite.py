#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The whole test suite: `./umbra test`, `make test`.

	tools/testsuite.py			everything
	tools/testsuite.py NAME...		tests whose name holds, or matches, NAME
	tools/testsuite.py --only unit		one kind (may be given several times)
	tools/testsuite.py --list		what there is

One line per finished test, the output of those that failed, the reasons of
those that were skipped, and at last "N passed, N failed, N skipped" alone on a
line. The exit status is 0 only if none has failed.
"""

import argparse
import collections
import dataclasses
import fnmatch
import json
import os
import subprocess
import sys
import time

import tree
from suite import kinds, runner, task

RESULTS = tree.ROOT / "build/test"
MEMORY = RESULTS / "seconds.json"


def parse_arguments(words):
    parser = argparse.ArgumentParser(
        prog="umbra test",
        description="Everything that needs no special hardware.")
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help="part of a test's name, or a pattern with *")
    parser.add_argument("--only", action="append", choices=kinds.KINDS,
                        metavar="KIND", help=", ".join(kinds.KINDS))
    parser.add_argument("--list", action="store_true",
                        help="name the tests, run none")
    parser.add_argument("--jobs", type=int, metavar="N",
                        default=min(2, os.cpu_count() or 1),
                        help="tests at the same time (default: 2)")
    parser.add_argument("--long", action="store_true",
                        help="also the tests that take many minutes")
    parser.add_argument("--fuzz-seconds", type=int, metavar="S",
                        help="how long each fuzzer runs, with new inputs")
    return parser.parse_args(words)


def is_wanted(name, patterns):
    return not patterns or any(
        fnmatch.fnmatch(name, pattern) or pattern in name
        for pattern in patterns)


def choose(options):
    """The wanted tasks; those that ran before know how long they take."""
    seconds = {}
    if MEMORY.exists():
        seconds = json.loads(MEMORY.read_text())
    return [dataclasses.replace(
                item, seconds=seconds.get(item.name, item.seconds))
            for item in kinds.find(options)
            if is_wanted(item.name, options.names)]


def build(targets, jobs):
    """True if make has built them; else its words are on standard output."""
    if not targets:
        return True
    print(f"building: {' '.join(targets)}", flush=True)
    done = subprocess.run(["make", f"-j{jobs}", *targets], cwd=tree.ROOT,
                          env=tree.environment_without_make(), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        print(done.stdout)
    return done.returncode == 0


class Report:
    """What has come out so far, and how it is told."""

    def __init__(self, total):
        self.total = total
        self.finished = 0
        self.cases = []
        self.seconds = {}

    def tell(self, item, finished, cases):
        self.finished += 1
        self.cases += cases
        self.seconds[item.name] = round(finished.seconds, 2)
        counts = collections.Counter(case.outcome for case in cases)
        word = next((outcome for outcome in (task.FAIL, task.PASS, task.SKIP)
                     if counts[outcome]))
        notes = [f"{counts[outcome]} {said}"
                 for outcome, said in ((task.PASS, "passed"),
                                       (task.FAIL, "failed"),
                                       (task.SKIP, "skipped"))
                 if counts[outcome] and len(cases) > 1]
        width = len(str(self.total))
        print(f"[{self.finished:{width}}/{self.total}] {word:4}  {item.name}"
              f"  {finished.seconds:.1f} s  {', '.join(notes)}".rstrip(),
              flush=True)
        if word == task.FAIL:
            self.show_output(finished)

    @staticmethod
    def show_output(finished):
        for line in finished.output.splitlines():
            print(f"    | {line}")
        sys.stdout.flush()

    def count(self, outcome):
        return sum(case.outcome == outcome for case in self.cases)

    def close(self):
        for outcome, title in ((task.SKIP, "skipped"), (task.FAIL, "failed")):
            for case in self.cases:
                if case.outcome == outcome:
                    print(f"{title}: {case.name}: {case.note}".rstrip(": "))
        print(f"{self.count(task.PASS)} passed, {self.count(task.FAIL)} failed,"
              f" {self.count(task.SKIP)} skipped", flush=True)
        return 1 if self.count(task.FAIL) else 0


def remember(seconds):
    """So that the next run starts the long ones first."""
    known = json.loads(MEMORY.read_text()) if MEMORY.exists() else {}
    known.update(seconds)
    MEMORY.parent.mkdir(parents=True, exist_ok=True)
    MEMORY.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def run_built(tasks, options, report):
    for item in tasks:
        if item.skip:
            report.tell(item, task.Finished(0, "", 0),
                        [task.Case(item.name, task.SKIP, item.skip)])
    ready = [item for item in tasks if not item.skip]
    try:
        for result in runner.run_all(ready, options.jobs, RESULTS):
            report.tell(*result)
    except BaseException:
        print(f"umbra test: stopped after {report.finished} of "
              f"{report.total} tests", file=sys.stderr)
        raise
    finally:
        remember(report.seconds)


def run(tasks, options):
    report = Report(len(tasks))
    start = time.monotonic()
    if build(kinds.make_targets(tasks), options.jobs):
        run_built(tasks, options, report)
    else:
        report.cases.append(task.Case("build", task.FAIL, "make failed"))
    print(f"{time.monotonic() - start:.0f} s; the output of each test is in "
          f"{RESULTS.relative_to(tree.ROOT)}/")
    return report.close()


def main(words):
    options = parse_arguments(words)
    tasks = choose(options)
    if options.list:
        for item in tasks:
            print(item.name + (f"  (skip: {item.skip})" if item.skip else ""))
        return 0
    if not tasks:
        print("umbra test: no test is called that; see --list",
              file=sys.stderr)
        return 2
    try:
        return run(tasks, options)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
