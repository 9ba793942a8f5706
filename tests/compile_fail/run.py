#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files that must not compile: what the types are there to forbid.

Every tests/compile_fail/*.c is compiled twice. As it stands it must be fine;
with -DWRONG it must be refused, by an error that matches its line

	EXPECT: regular expression

So a file that fails for another reason than the one it is there for fails the
test, too. Prints a line for each and a closing line.
"""

import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import tree


def compile_file(path, *more):
    """(was it accepted?, what the compiler said)."""
    source = tree.Tree()
    flags = source.make_words("CPPFLAGS") + source.make_words("CFLAGS")
    # Some warnings come late, so -fsyntax-only would not do; and the
    # messages shall be the English ones, in ASCII.
    done = subprocess.run(["gcc", *flags, *more, "-c", path, "-o", "/dev/null"],
                          cwd=ROOT, text=True, check=False,
                          env=dict(os.environ, LC_ALL="C"),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, done.stdout


def why_bad(path):
    """Empty if the file is right when right and wrong when wrong."""
    expected = re.search(r"EXPECT: (.+?)\s*(\*/)?$", path.read_text(),
                         re.MULTILINE)
    if not expected:
        return "has no EXPECT line"
    accepted, said = compile_file(path)
    if not accepted:
        print(said)
        return "does not compile when it should"
    accepted, said = compile_file(path, "-DWRONG")
    if accepted:
        return "compiles with -DWRONG"
    errors = [line for line in said.splitlines() if " error: " in line]
    if not any(re.search(expected.group(1), line) for line in errors):
        print(said)
        return f"no error matches {expected.group(1)!r}"
    return ""


def main():
    failed = 0
    files = sorted(HERE.glob("*.c"))
    for path in files:
        reason = why_bad(path)
        failed += bool(reason)
        print(f"FAIL {path.stem}: {reason}" if reason
              else f"PASS {path.stem}", flush=True)
    print(f"{len(files) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main())
