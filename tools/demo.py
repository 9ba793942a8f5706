# SPDX-License-Identifier: MIT
"""`make demo`: a guest that is a hypervisor moves to a second machine while its
own guest runs, and nothing is lost.

It is one `./umbra migrate`, shown as it happens, and what its figures say: in
words here, and with drawings in build/demo.html.
"""

import argparse
import json
import os
import subprocess
import sys

import tree
from umbra import migrate as moving

REPORT = "build/demo.html"
LIMIT_SECONDS = 170
#: How writes are found, as each round counts them.
FOUND = ("logged", "faults", "l2_logged", "l2_faults")
#: A standstill, in what the link alone needs for the last pages and the state.
TIMES_LINK_MAX = 1.3
PASSED = 1  # what the guest's RESULT PASS makes of the exit status
#: L1 has an L2 that adds one to a byte of each of its pages, round and round;
#: both say after how many laps that each page has what it must have.
GUEST = ["build/guests/l1ring.elf", "--append",
         "mb=4 mark=200 laps=4000 talk", "--mem", "8M"]
#: Umbra works on one CPU and the guest on the other one, so that L2 has written
#: all of its pages again when a round ends, however fast this computer is.
HOW = ["--set", "host.cpus=2", "--set", "pin=1", "--link", "net", "--at",
       "L1: lap 400", "--set", "downtime=1s", "--set", "stuck=switch"]

INTRODUCTION = """\
Two machines, {engine}, and a link. On the left one Umbra
runs L1, a guest that is a hypervisor, and in it L2, which writes all the time.
L1 moves to the right one with L2 in it, and neither of them may notice.

Look for: pages per round; "standstill"; "audit"; laps that go on on the right.

    {command}
"""


def migrate(report):
    """The exit status, and what --json has said, or None."""
    words = ["migrate", *GUEST, *HOW, "--columns", "--report", report,
             "--json", "--timeout", str(LIMIT_SECONDS)]
    print(INTRODUCTION.format(
        engine="emulated by Bochs unless this computer has VMX for them",
        command=" ".join(["./umbra", *(f'"{word}"' if " " in word else word
                                       for word in words)])), flush=True)
    with subprocess.Popen(["./umbra", *words], cwd=tree.ROOT,
                          stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True) as child:
        said = child.stdout.read()
    try:
        return child.returncode, json.loads(said)["migrations"][0]
    except (ValueError, LookupError):
        return child.returncode, None


def table(result):
    """Lines: what each round carried, and how the writes were found."""
    head = ("round", "pages", "zero", "bytes", "left", "PML", "WP", "L2's PML",
            "L2's WP")
    rows = [head]
    before = (0, 0, 0, 0)
    for one in result["each_round"]:
        found = [one[way] for way in FOUND]
        new = [now - then for now, then in zip(found, before)]
        before = found
        rows.append((one["number"], one["raw"], one["zero"], one["bytes"],
                     one["left"], *new))
    for row in rows:
        yield "".join(f"{cell:>10}" for cell in row)
    yield ""
    yield ("PML: entries of the CPU's page-modification log, L1's writes. WP: "
           "write faults of L1.")
    yield ("L2's WP: write faults of L2, logged by L1's address, because PML "
           "would log L2's.")
    yield ("L2's PML: with --set dirty.l2=translate PML does, and Umbra "
           "translates.")


def doubts(status, result):
    """What is not as it should be, in words."""
    if result is None or result.get("result") != "moved":
        return ["the guest was not moved"]
    found = []
    if status == 124:
        found.append(f"it did not end within {LIMIT_SECONDS} s; is this "
                     "computer busy?")
    elif status != PASSED:
        found.append(f"the guest ended with status {status}: it says that a "
                     "page had not what it must have")
    if result["audit"] != "full" or not result["groups"]:
        found.append("the two memories were not compared")
    if not any(one["l2_faults"] + one["l2_logged"]
               for one in result["each_round"]):
        found.append("L2 wrote nothing while it moved")
    if "standstill" not in result:
        found.append("its standstill was not measured")
    elif moving.times_link(result["standstill"]) > TIMES_LINK_MAX:
        found.append("it stood still for more than "
                     f"{TIMES_LINK_MAX} times what the link needed")
    return found


def standing(result):
    """Lines: what the standstill was made of, and what the link needed."""
    still = result["standstill"]
    yield "standstill, ms of the clock of the machine that worked:"
    for name, work in (("pause", "stopping it"),
                       ("copy", "the pages it wrote last, into the link"),
                       ("state", "its state, into the link"),
                       ("audit", "hashing all memory"),
                       ("there", "hashing the last of it there, loading"),
                       ("total", "all of it"),
                       ("link", "copy and state: what the link needs")):
        yield f"{still[name] / 1000:>10.1f}  {work}"
    yield (f"{moving.times_link(still):>10.2f}  times what the link needs; "
           f"at most {TIMES_LINK_MAX}")


def verdict(status, result):
    wrong = doubts(status, result)
    if wrong:
        return "VERDICT: it failed: " + "; ".join(wrong)
    still = result["standstill_here"] or 0
    return (f"VERDICT: L1 and its L2 moved in {result['rounds']} rounds and "
            f"{result['bytes']} bytes, and stood still for {still:.1f} s of "
            "this computer's clock.\nBoth memories were the same, page by "
            "page, and every byte of the ring was right until its end: not one "
            "page was lost.")


def main(arguments):
    parser = argparse.ArgumentParser(prog="umbra demo", description=__doc__)
    parser.add_argument("--report", default=REPORT, metavar="FILE",
                        help=f"where to leave the page ({REPORT})")
    options = parser.parse_args(arguments)
    os.makedirs(tree.ROOT / "build", exist_ok=True)
    status, result = migrate(options.report)
    print()
    if result:
        print("\n".join(table(result)) + "\n")
        if "standstill" in result:
            print("\n".join(standing(result)) + "\n")
    print(verdict(status, result))
    if result:
        print(f"The report, with drawings: {options.report}")
    return 1 if doubts(status, result) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
