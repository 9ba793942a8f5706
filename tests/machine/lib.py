# SPDX-License-Identifier: MIT
"""Machine tests: boot Umbra with a guest and look at what comes out.

A test is a function in a file tests/machine/test_*.py:

    from lib import machine_test

    @machine_test(seconds=2)
    def status_of_the_guest_is_the_status_of_the_run(machine):
        run = machine.run("build/guests/hello.elf", "--cpus", "2")
        run.ended_with(1)
        run.printed("hello")

The suite runs each as a program of its own,

    python3 tests/machine/lib.py tests/machine/test_run.py NAME

whose last line is its verdict: "VERDICT PASS", "VERDICT FAIL why" or "VERDICT
SKIP why". A program that ends without one has failed.
"""

import dataclasses
import importlib.util
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time
import traceback

import talk

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

#: What a test leaves for the front end to end a run and clean up.
MARGIN_SECONDS = 10

#: For each guest where a test does not say: to clear half a gigabyte, which is
#: the front end's default, costs the emulator three seconds of each boot.
MEMORY = ("--mem", "64M")


class Failure(Exception):
    """The tested thing did not do what it should; the text says what."""


class Skip(Exception):
    """Cannot be tested here, and why."""


@dataclasses.dataclass(frozen=True)
class Test:
    name: str
    function: object
    engine: str
    seconds: float
    limit: float
    #: Not for the daily run: only with `./umbra test --long`.
    long: bool


def machine_test(engine="bochs", seconds=5, limit=60, long=False):
    """Declares a test: what it needs ("bochs", "qemu", or "kvm" for a host
    with nested VMX), how long it takes, when it counts as hung."""
    def declare(function):
        function.machine_test = Test(function.__name__, function, engine,
                                     seconds, limit, long)
        return function
    return declare


def limit_of(test):
    """Seconds. A mistake that is built in (see Machine.run) may well make a
    guest wait for ever: nobody waits for that as long as a slow machine may
    need for what is right."""
    if "UMBRA_TEST_IMAGE" in os.environ:
        return min(test.limit, 4 * test.seconds + 2 * MARGIN_SECONDS)
    return test.limit


#: ./umbra run and migrate, when --timeout has ended them.
TIMED_OUT = 124


class Machine:
    """What a test runs Umbra with."""

    def __init__(self, test, folder):
        self.engine = test.engine
        #: Something did not come to its end. Whatever fails then has not been
        #: judged: on a slower machine it would look the same.
        self.hung = False
        self.deadline = time.monotonic() + limit_of(test) - MARGIN_SECONDS
        #: A folder of the test's own, with a blank in its name.
        self.folder = pathlib.Path(folder)

    def run(self, guest, *options, stdin=""):
        """./umbra run GUEST OPTIONS, to its end. UMBRA_TEST_IMAGE names
        another build of Umbra, with a mistake in it (tests/mutants)."""
        image = os.environ.get("UMBRA_TEST_IMAGE")
        other = ["--set", f"host.image={image}"] if image else []
        return self.umbra("run", guest, "--engine", self.engine_name(),
                          "--timeout", str(self.seconds_left()), *MEMORY,
                          *options, *other, stdin=stdin)

    def umbra(self, *arguments, stdin=""):
        """./umbra with any arguments, to its end."""
        return self.command("./umbra", *arguments, stdin=stdin)

    def command(self, *words, stdin=""):
        words = [str(word) for word in words]
        print("$", shlex.join(words), flush=True)
        start = time.monotonic()
        try:
            done = subprocess.run(words, cwd=ROOT, input=stdin.encode(),
                                  stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False,
                                  timeout=self.seconds_left() + 5)
        except subprocess.TimeoutExpired as error:
            self.hung = True
            raise Failure(f"{words[0]} did not end by itself; it printed "
                          f"{error.stdout!r}") from error
        run = Run(words, done.returncode,
                  done.stdout.decode("utf-8", "replace").replace("\r", ""),
                  done.stderr.decode("utf-8", "replace").replace("\r", ""),
                  time.monotonic() - start)
        run.show()
        self.hung |= run.status == TIMED_OUT
        return run

    def talk(self, guest, *options):
        """./umbra run GUEST OPTIONS, for a `with` block; see talk.py."""
        words = [str(word) for word in
                 ("./umbra", "run", guest, "--engine", self.engine_name(),
                  "--timeout", self.seconds_left(), *MEMORY, *options)]
        print("$", shlex.join(words), flush=True)
        return talk.Talk(words, ROOT, self.seconds_left() + 5)

    def engine_name(self):
        """The front end's --engine; KVM is QEMU's accelerator."""
        return "qemu" if self.engine == "kvm" else self.engine

    def seconds_left(self):
        left = int(self.deadline - time.monotonic())
        if left < 1:
            self.hung = True
            raise Failure("the time of this test is used up")
        return left


@dataclasses.dataclass(frozen=True)
class Run:
    """How a command ended. `out` is the guest's console, `err` Umbra's words.
    """
    words: list
    status: int
    out: str
    err: str
    seconds: float

    @staticmethod
    def of(conversation):
        """A conversation that comes to its end by itself."""
        run = Run(conversation.words, *conversation.end())
        run.show()
        return run

    def show(self):
        for name, text in (("out", self.out), ("err", self.err)):
            for line in text.splitlines():
                print(f"  {name}: {line}")
        print(f"  status {self.status}, {self.seconds:.1f} s", flush=True)

    def ended_with(self, status):
        if self.status != status:
            raise Failure(f"status {self.status}, not {status}; "
                          f"{self.last_words()}")
        return self

    def printed(self, pattern):
        """The guest's console matches a regular expression; ^ and $ are the
        ends of a line."""
        return self.matched("out", pattern)

    def said(self, pattern):
        """Umbra or the front end said so."""
        return self.matched("err", pattern)

    def matched(self, stream, pattern):
        found = re.search(pattern, getattr(self, stream), re.MULTILINE)
        if not found:
            raise Failure(f"nothing on std{stream} matches {pattern!r}")
        return found

    def never_said(self, pattern):
        found = re.search(pattern, self.err, re.MULTILINE)
        if found:
            raise Failure(f"stderr holds {found.group()!r}")

    def last_words(self):
        """The guest's, and Umbra's, whose first error says most."""
        errors = re.findall("^umbra: error: .*", self.err, re.MULTILINE)
        umbra = errors[0] if errors else last_line(self.err)
        return f"last words: {last_line(self.out)!r}, {umbra!r}"

    def guest_verdict(self):
        """A test guest's last line is "RESULT PASS n/n" (n checks)."""
        line = last_line(self.out)
        found = re.match(r"RESULT (PASS|FAIL) (\d+)/(\d+)$", line)
        if not found:
            raise Failure("the guest ended without its verdict; "
                          f"{self.last_words()}")
        word, good, all_of_them = found.groups()
        if word != "PASS" or good != all_of_them or int(good) == 0:
            raise Failure(f"the guest says {line!r}")
        return int(good)


def last_line(text):
    lines = text.rstrip().splitlines()
    return lines[-1] if lines else "(nothing)"


def check(condition, words):
    """An assertion that says what is wrong."""
    if not condition:
        raise Failure(words)


def load(path):
    """The tests of one file, in the order in which they stand there."""
    path = pathlib.Path(path)
    # A test file says `from lib import ...`: that is this very module.
    sys.modules["lib"] = sys.modules[__name__]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [value.machine_test for value in vars(module).values()
            if hasattr(value, "machine_test")]


def verdict_of(test):
    with tempfile.TemporaryDirectory(prefix="a test ") as folder:
        machine = Machine(test, folder)
        try:
            test.function(machine)
            return "PASS"
        except Skip as reason:
            return f"SKIP {reason}"
        except (Failure, talk.Silence) as reason:
            how = "hung: " if machine.hung else ""
            return f"FAIL {how}{reason}".replace("\n", " ")
        except Exception:
            # A broken test is not a broken Umbra, but it has failed too.
            traceback.print_exc(file=sys.stdout)
            return "FAIL the test itself broke, see its output"


def main():
    file, name = sys.argv[1:]
    test = next(test for test in load(file) if test.name == name)
    verdict = verdict_of(test)
    print(f"VERDICT {verdict}", flush=True)
    return 1 if verdict.startswith("FAIL") else 0


if __name__ == "__main__":
    sys.exit(main())
