#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mutation tests: each small mistake in the C code makes a named test fail.

	tests/mutants/run.py			all mutants (make mutants)
	tests/mutants/run.py NAME...		some of them
	tests/mutants/run.py --show NAME	one, with the failing test's output
	tests/mutants/run.py --table		for docs/TESTING.md

The mutants stand in tests/mutants/*.txt:

	== NAME
	One sentence: what goes wrong.
	in FILE
	killed by PROGRAM TEST
	-- old
	lines that stand exactly once in FILE
	-- new
	lines to put in their place

with one or more pairs of old and new (`make check` sees that they fit).
PROGRAM is one of tests/unit; FILE is compiled with the mistake in it, exactly
as that program compiles it, and linked before the archive that holds the sound
one. If FILE is a header, what is compiled with it is the program's own file and
those that the line names:

	in mm/dirty_log.h for mm/guest_mem.c

A PROGRAM machine_X is the tests of tests/machine/test_X.py, with an image of
Umbra that has the mistake in it.

A test that only runs out of its time has judged nothing: a slow machine makes
it do so without any mistake. Where a mistake makes it wait for ever, and nobody
can notice, the entry says so:

	killed by PROGRAM TEST, which hangs

Then it must pass in the same time without the mistake.
"""

import argparse
import enum
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "build/mutants"

#: The host build that a program belongs to, by the first part of its name.
FLAVOURS = {"test": "asan", "weave": "weave", "tsan": "tsan",
            "machine": "image"}

SECONDS = 60

HEAD = re.compile(r"^(?P<name>\w+)\n(?P<what>.*?)\n"
                  r"in (?P<file>\S+)(?: for (?P<users>[^\n]+))?\n"
                  r"killed by (?P<program>\w+) (?P<test>\w+)"
                  r"(?P<hangs>, which hangs)?\n(?P<edits>.*)$",
                  re.DOTALL)


class End(enum.Enum):
    """Of the named test, of a program with the mistake in it."""
    PASSED = "survives"
    FAILED = "fails"
    HUNG = "hangs"


class Broken(Exception):
    """The mutant could not be tried; says nothing about the tests."""


class Mutant:
    def __init__(self, text):
        match = HEAD.match(text)
        if not match:
            raise Broken(f"no mutant: {text.splitlines()[0]}")
        self.name = match["name"]
        self.what = " ".join(match["what"].split())
        self.file = match["file"]
        self.program = match["program"]
        self.test = match["test"]
        self.may_hang = bool(match["hangs"])
        pairs = re.split(r"^-- old\n", match["edits"], flags=re.MULTILINE)[1:]
        self.edits = [pair.split("-- new\n") for pair in pairs]
        self.flavour = FLAVOURS[self.program.split("_")[0]]
        self.users = (match["users"] or "").split()
        if self.file.endswith(".h"):
            self.users.append(f"tests/unit/{self.program}.c")

    def compiled(self):
        """The files whose objects hold the mistake."""
        return self.users or [self.file]

    def source(self, root=ROOT):
        """The file with the mistake in it."""
        try:
            text = (root / self.file).read_text()
        except FileNotFoundError:
            raise Broken(f"{self.file} is not there") from None
        for old, new in self.edits:
            old = old.rstrip("\n")
            if text.count(old) != 1:
                raise Broken(f"stands {text.count(old)} times, not once, in "
                             f"{self.file}: {old.strip().splitlines()[0]}")
            text = text.replace(old, new.rstrip("\n"))
        return text


def make_variable(name):
    found = subprocess.run(["make", "-s", f"print-{name}"], cwd=ROOT, text=True,
                           check=True, stdout=subprocess.PIPE)
    return shlex.split(found.stdout)


def command(words):
    done = subprocess.run(words, cwd=ROOT, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Broken(f"{words[0]}: " + " | ".join(done.stdout.split("\n")[:4]))


class Tools:
    """The compiler and its flags, as the Makefile has them."""

    def __init__(self):
        self.compiler = make_variable("HOSTCC")
        # A mistake may leave something unused; nobody debugs it.
        self.flags = make_variable("HOST_CFLAGS") + ["-w", "-g0"]
        self.sanitizers = {flavour: make_variable(f"SAN_{flavour}")
                           for flavour in FLAVOURS.values()}
        self.image_compiler = (make_variable("CC") + make_variable("CPPFLAGS")
                               + make_variable("CFLAGS") + ["-w"])
        self.image_objects = make_variable("IMAGE_OBJECTS")
        self.image_linker = make_variable("LD") + make_variable("LDFLAGS")

    def build(self, mutant):
        """The program that should fail."""
        folder = WORK / mutant.name
        mutated = folder / mutant.file
        mutated.parent.mkdir(parents=True, exist_ok=True)
        mutated.write_text(mutant.source())
        sanitizers = self.sanitizers[mutant.flavour]
        objects = f"build/{mutant.flavour}"
        parts = [f"tests/unit/{mutant.program}", "tests/unit/host_seams"]
        if mutant.flavour == "weave":
            parts.append("tests/unit/weave")
        changed = [self.compile(mutant, user, folder, sanitizers)
                   for user in mutant.compiled()]
        sound = [f"{objects}/{part}.o" for part in parts
                 if f"{part}.c" not in mutant.compiled()]
        program = folder / mutant.program
        command([*self.compiler, *sanitizers, *changed, *sound,
                 f"{objects}/libumbra.a", "-lcmocka", "-lpthread", "-llz4",
                 "-o", str(program)])
        return program

    def build_image(self, mutant):
        """Umbra with the mistake in it, as loaders start it."""
        folder = WORK / mutant.name
        source = folder / mutant.file
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(mutant.source())
        mutated = str(source.with_suffix(".o"))
        command([*self.image_compiler, "-c", str(source), "-o", mutated])
        sound = "build/image/" + mutant.file.removesuffix(".c") + ".o"
        if sound not in self.image_objects:
            raise Broken(f"{sound} is not in the image")
        objects = [mutated if item == sound else item
                   for item in self.image_objects]
        image = folder / "umbra.elf"
        command([*self.image_linker, "-T", "linker.ld", *objects,
                 "build/no-symbols.o", "-o", f"{image}64"])
        command(["objcopy", "--strip-all", "-O", "elf32-i386", f"{image}64",
                 str(image)])
        return image

    def compile(self, mutant, source, folder, sanitizers):
        """An object that includes from `folder` what stands there."""
        path = folder / source if source == mutant.file else ROOT / source
        result = str((folder / source).with_suffix(".o"))
        pathlib.Path(result).parent.mkdir(parents=True, exist_ok=True)
        command([*self.compiler, f"-I{folder}", *self.flags, *sanitizers,
                 "-c", str(path), "-o", result])
        return result


def output_until(program, test, verdict, seconds=SECONDS):
    """What the program prints of its one test (tests/unit/host_seams.c), until
    `verdict` appears or it ends; and whether it had to be ended."""
    environment = dict(os.environ, TSAN_OPTIONS="halt_on_error=1",
                       ASAN_OPTIONS="abort_on_error=1:detect_leaks=0",
                       UMBRA_TEST_ONLY=test)
    process = subprocess.Popen([str(program)], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, env=environment,
                               stderr=subprocess.STDOUT, errors="replace")
    hung = False

    def give_up(_signal, _frame):
        nonlocal hung
        hung = True
        process.kill()

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if verdict.search(line):
            break
    signal.alarm(0)
    process.kill()
    process.wait()
    return "".join(lines), hung


def judge(mutant, tools):
    """The End of the named test, and what was printed."""
    if mutant.flavour == "image":
        return judge_image(mutant, tools.build_image(mutant))
    return judge_program(mutant, tools.build(mutant))


def judge_sound(mutant):
    """The same without the mistake."""
    if mutant.flavour == "image":
        return judge_image(mutant, ROOT / "build/umbra.elf")
    return judge_program(mutant, ROOT / "build/unit" / mutant.program)


def judge_program(mutant, program, seconds=SECONDS):
    verdict = re.compile(r"\[\s+(FAILED|OK)\s+\] " + mutant.test + "$",
                         re.MULTILINE)
    output, hung = output_until(program, mutant.test, verdict, seconds)
    found = verdict.search(output)
    if found:
        return End.PASSED if found[1] == "OK" else End.FAILED, output
    last = re.findall(r"\[ RUN\s+\] (\w+)", output)
    if not last or last[-1] != mutant.test:
        return End.PASSED, output
    # If nobody ended it, a sanitizer or a CHECK did, in that test.
    return End.HUNG if hung else End.FAILED, output


def judge_image(mutant, image):
    file = "test_" + mutant.program.split("_", 1)[1] + ".py"
    done = subprocess.run(
        [sys.executable, "tests/machine/lib.py", f"tests/machine/{file}",
         mutant.test], cwd=ROOT, text=True, check=False, errors="replace",
        env=dict(os.environ, UMBRA_TEST_IMAGE=str(image)),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    return end_of_machine_test(mutant, done.stdout), done.stdout


def end_of_machine_test(mutant, output):
    verdict = re.search(r"^VERDICT (\w+)( hung:| the test itself broke)?.*",
                        output, re.MULTILINE)
    if not verdict or verdict[1] == "SKIP" or "broke" in (verdict[2] or ""):
        raise Broken(f"{mutant.program} {mutant.test} has no verdict: "
                     f"{verdict[0] if verdict else output[-200:]!r}")
    if verdict[1] == "PASS":
        return End.PASSED
    return End.HUNG if verdict[2] else End.FAILED


def how_it_was_killed(end, output):
    """In words, those of the test or its guest if they have said something."""
    said = re.search(r"^VERDICT FAIL (.*)", output, re.MULTILINE)
    if said:
        return said[1]
    if end is End.HUNG:
        return "hung"
    failed = re.search(r"^\[\s+FAILED", output, re.MULTILINE)
    return "failed" if failed else "its program died"


def complaint(mutant, end, judge_again=judge_sound):
    """Why the mutant is not killed as it should be, or None."""
    test = f"{mutant.program} {mutant.test}"
    if end is End.PASSED:
        return f"survives {test}"
    if end is End.HUNG and not mutant.may_hang:
        return (f"was not judged: {test} ran out of its time; try again if the "
                "machine was slow, or let the test or its guest notice; if "
                "nothing can, write \", which hangs\" behind the test's name")
    if end is End.HUNG and judge_again(mutant)[0] is not End.PASSED:
        return (f"was not judged: {test} does not pass in its time without the "
                "mistake, either; try again when the machine is idle")
    return None


def mutants(root=ROOT):
    for file in sorted((root / "tests/mutants").glob("*.txt")):
        for text in re.split(r"^== ", file.read_text(), flags=re.MULTILINE)[1:]:
            yield Mutant(text.rstrip("\n") + "\n")


def table(found):
    """The table of docs/TESTING.md."""
    rows = ["| mutant | in | what goes wrong | killed by |",
            "|---|---|---|---|"]
    for mutant in found:
        hangs = ", which hangs" if mutant.may_hang else ""
        rows.append(f"| {mutant.name} | {mutant.file} | {mutant.what} | "
                    f"{mutant.program}: {mutant.test}{hangs} |")
    return "\n".join(rows)


def run(mutant, tools, show):
    try:
        end, output = judge(mutant, tools)
        why = complaint(mutant, end)
    except Broken as broken:
        why, output = f"cannot be tried: {broken}", ""
    if show:
        print(output)
    if why:
        print(f"FAIL {mutant.name}: {why}", flush=True)
    else:
        print(f"PASS {mutant.name}: {how_it_was_killed(end, output)}",
              flush=True)
    return not why


def choose(names):
    found = list(mutants())
    unknown = set(names) - {mutant.name for mutant in found}
    if unknown:
        sys.exit(f"no such mutant: {', '.join(sorted(unknown))}")
    return [mutant for mutant in found if not names or mutant.name in names]


def main():
    parser = argparse.ArgumentParser(
        description="Shows that the tests notice small mistakes.")
    parser.add_argument("--show", action="store_true",
                        help="print what the failing program says")
    parser.add_argument("--table", action="store_true",
                        help="print the table for docs/TESTING.md")
    parser.add_argument("name", nargs="*")
    options = parser.parse_args()

    wanted = choose(options.name)
    if options.table:
        print(table(wanted))
        return 0
    subprocess.run(["make", "-s", "SETUP=no", "unit", "all"], cwd=ROOT,
                   check=True, stdout=subprocess.DEVNULL)
    tools = Tools()
    outcomes = [run(mutant, tools, options.show) for mutant in wanted]
    failed = outcomes.count(False)
    print(f"{outcomes.count(True)} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
