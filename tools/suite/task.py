# SPDX-License-Identifier: MIT
"""A Task is one program that the suite runs; its output holds the Cases.

Nothing passes by silence. Each kind of output has a reader that knows how many
results the program meant to give; a program that stops short of that has
failed, whatever its exit status.
"""

import dataclasses
import re
from typing import Callable

PASS, FAIL, SKIP = "pass", "fail", "skip"

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


@dataclasses.dataclass(frozen=True)
class Case:
    """One result, as the closing line counts them."""
    name: str
    outcome: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Finished:
    """How a program ended. `trouble` says what the runner had against it."""
    status: int
    output: str
    seconds: float
    trouble: str = ""


@dataclasses.dataclass(frozen=True)
class Task:
    name: str
    kind: str
    command: list
    read: Callable
    limit: float = 180
    environment: dict = dataclasses.field(default_factory=dict)
    #: Why the task is not run on this machine; empty if it is.
    skip: str = ""
    #: Seconds that it took last time, or a guess.
    seconds: float = 1


def cases_of(task, finished):
    """The results of a task that has run; at least one, failed if in doubt."""
    try:
        cases = task.read(task, finished)
    except Unreadable as error:
        cases = [Case(task.name, FAIL, str(error))]
    said_so = any(case.outcome == FAIL for case in cases)
    if finished.trouble:
        cases = cases + [Case(task.name, FAIL, finished.trouble)]
    elif finished.status != 0 and not said_so:
        note = f"ended with status {finished.status}"
        cases = cases + [Case(task.name, FAIL, note)]
    return cases


class Unreadable(Exception):
    """The output does not hold what the kind of program promises."""


def read_tap(task, finished):
    """cmocka's TAP: a plan "1..n", then n lines "ok" or "not ok"."""
    plan = re.search(r"^1\.\.(\d+)$", finished.output, re.MULTILINE)
    results = re.findall(r"^(ok|not ok) \d+ (# SKIP |- )(.*)$",
                         finished.output, re.MULTILINE)
    if not plan or len(results) != int(plan.group(1)) or not results:
        raise Unreadable("ended before all of its tests had a result")
    cases = []
    for verdict, mark, name in results:
        full = f"{task.name}/{name}"
        if mark == "# SKIP ":
            cases.append(Case(full, SKIP, "the test skipped itself"))
        else:
            cases.append(Case(full, PASS if verdict == "ok" else FAIL))
    return cases


LINE = re.compile(r"^(PASS|FAIL|SKIP) ([^\s:]+)(?:: (.*))?$", re.MULTILINE)


def read_lines(task, finished):
    """Lines "PASS name", "FAIL name: why", "SKIP name: why", then the same
    closing line as the suite's own."""
    cases = [Case(f"{task.name}/{name}", word.lower(), note)
             for word, name, note in LINE.findall(finished.output)]
    lines = finished.output.rstrip().splitlines()
    closing = CLOSING.match(lines[-1]) if lines else None
    if not closing:
        raise Unreadable("ended without its closing line")
    counted = [sum(case.outcome == outcome for case in cases)
               for outcome in (PASS, FAIL, SKIP)]
    if [int(number) for number in closing.groups()] != counted:
        raise Unreadable("the closing line does not count what went before")
    if not cases:
        raise Unreadable("ran no test at all")
    return cases


def read_verdict(task, finished):
    """A machine test's last line: "VERDICT PASS", "... FAIL why", "... SKIP
    why"."""
    lines = finished.output.rstrip().splitlines()
    found = re.match(r"^VERDICT (PASS|FAIL|SKIP)(?: (.*))?$",
                     lines[-1] if lines else "")
    if not found:
        raise Unreadable("ended without its verdict")
    return [Case(task.name, found.group(1).lower(), found.group(2) or "")]


def read_fuzzer(task, finished):
    """libFuzzer says "Done N runs" when nothing was found."""
    done = re.search(r"^Done (\d+) runs in", finished.output, re.MULTILINE)
    if not done or int(done.group(1)) == 0:
        raise Unreadable("did not finish its runs")
    return [Case(task.name, PASS, f"{done.group(1)} runs")]


def read_check(task, finished):
    """tools/check.py NAME prints "check NAME: ok" or what it has found."""
    name = task.name.split("/")[-1]
    if re.search(rf"^check {re.escape(name)}: ok \(", finished.output,
                 re.MULTILINE):
        return [Case(task.name, PASS)]
    return [Case(task.name, FAIL, "has found something")]
