#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the spin models of this folder, and their broken variants.

	tests/model/run.py			all of them
	tests/model/run.py NAME...		some of them
	tests/model/run.py --show NAME		one, and how it comes to its end

A model says in its first comment what is to be searched and with which
definitions:

	holds NAME	DEFINITION...	spin finds nothing wrong, searching all
	fails NAME	DEFINITION...	spin finds a violated assertion

A variant that should fail and does not is a mutant that survived: then the
model proves nothing about the order that the variant breaks.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE.parent.parent / "build/model"

VARIANT = re.compile(r"^ \* (holds|fails) (\S+)\s+(.*)$", re.MULTILINE)

#: A search for a violation is soon at its end: to compile it would take most
#: of the time. One that finds none goes through millions of states, for which
#: -Og does nearly as much as -O1, whose compiling takes three times as long.
OPTIMISED = {"holds": "-Og", "fails": "-O0"}
HASH = {"holds": "-w24", "fails": "-w18"}
COMPILE = ["gcc", "-w", "-DSAFETY", "-DMEMLIM=2500", "pan.c", "-o", "pan"]
SEARCH = ["./pan", "-m2000000"]
SECONDS = 120


class Broken(Exception):
    """The tools did not do what they should; says nothing about the model."""


class Variant:
    def __init__(self, model, expected, name, definitions):
        self.model = model
        self.expected = expected
        self.name = f"{model.stem}/{name}"
        self.definitions = ["-D" + word for word in definitions.split()]
        self.folder = WORK / self.name

    def command(self, *words):
        try:
            done = subprocess.run(words, cwd=self.folder, text=True,
                                  stdout=subprocess.PIPE, check=False,
                                  stderr=subprocess.STDOUT, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise Broken(f"{words[0]} took more than {SECONDS} s") from None
        return done.returncode, done.stdout

    def search(self):
        """The output of spin's verifier."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        shutil.copy(self.model, self.folder)
        for words in (["spin", "-a", *self.definitions, self.model.name],
                      [*COMPILE, OPTIMISED[self.expected]]):
            status, output = self.command(*words)
            if status or not (self.folder / "pan.c").exists():
                raise Broken(f"{words[0]} failed: {output.strip()}")
        return self.command(*SEARCH, HASH[self.expected])[1]

    def judge(self):
        """None if the search ended as expected, else what it did instead."""
        output = self.search()
        errors = re.search(r"errors: (\d+)", output)
        if not errors:
            raise Broken(output.strip().splitlines()[-1] if output.strip()
                         else "the verifier said nothing")
        violated = "assertion violated" in output
        if self.expected == "fails":
            return None if violated else "the mutant survives"
        if int(errors.group(1)):
            kind = "an assertion fails" if violated else "it deadlocks"
            return f"{kind}; --show {self.name} tells how"
        if "max search depth too small" in output or "bound" in output:
            return "the search was cut short"
        return None

    def show(self):
        """The fewest steps to an error: breadth first finds those."""
        self.command(*COMPILE, "-DBFS")
        self.command("./pan")
        if not list(self.folder.glob("*.trail")):
            return "no error was found"
        return self.command("spin", "-t", "-p", *self.definitions,
                            self.model.name)[1]


def variants():
    for model in sorted(HERE.glob("*.pml")):
        for match in VARIANT.finditer(model.read_text()):
            yield Variant(model, *match.groups())


def chosen(names):
    found = list(variants())
    if not names:
        return found
    unknown = set(names) - {variant.name for variant in found}
    if unknown:
        sys.exit(f"no such variant: {', '.join(sorted(unknown))}")
    return [variant for variant in found if variant.name in names]


def run(variant):
    """One line and one of "PASS", "FAIL"."""
    try:
        why = variant.judge()
    except Broken as broken:
        why = str(broken).replace("\n", " ")
    if why:
        print(f"FAIL {variant.name}: {why}", flush=True)
        return "FAIL"
    print(f"PASS {variant.name}", flush=True)
    return "PASS"


def main():
    parser = argparse.ArgumentParser(
        description="Runs the spin models and their broken variants.")
    parser.add_argument("--show", action="store_true",
                        help="print the steps to the error that was found")
    parser.add_argument("name", nargs="*")
    options = parser.parse_args()

    wanted = chosen(options.name)
    if not shutil.which("spin") or not shutil.which("gcc"):
        for variant in wanted:
            print(f"SKIP {variant.name}: needs spin and gcc (make setup)")
        print(f"0 passed, 0 failed, {len(wanted)} skipped")
        return 0
    outcomes = []
    for variant in wanted:
        outcomes.append(run(variant))
        if options.show:
            print(variant.show())
    failed = outcomes.count("FAIL")
    print(f"{outcomes.count('PASS')} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
