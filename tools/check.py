#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `make check` runs: one line per check, then what it has found.

	tools/check.py			all of them
	tools/check.py layers text	these
	tools/check.py --list		their names

A check is a function that takes a Tree (tools/tree.py) and gives its findings
as lines of text; none means ok. Every check has a test in tests/checks that
shows it a fault.
"""

import concurrent.futures
import sys
import time

import check_c
import check_docs
import check_guest_writes
import check_layers
import check_mutants
import check_purity
import check_python
import check_record
import check_sdm
import check_style
import check_text
import tree

#: What `make check` runs, and what is run only when it is named.
CHECKS = {}
ON_REQUEST = dict(check_c.ON_REQUEST)
for module in (check_c, check_purity, check_layers, check_guest_writes,
               check_style, check_text, check_python, check_docs, check_record,
               check_mutants, check_sdm):
    CHECKS.update(module.CHECKS)


def examine(name, source_tree):
    start = time.monotonic()
    try:
        findings = list((CHECKS | ON_REQUEST)[name](source_tree))
    except Exception as error:
        # The other checks shall still speak.
        findings = [f"the check itself broke: {error!r}"]
    return findings, time.monotonic() - start


def report(name, findings, seconds):
    verdict = f"{len(findings)} found" if findings else "ok"
    print(f"check {name}: {verdict} ({seconds:.1f} s)", flush=True)
    for finding in findings:
        print(f"  {finding}", flush=True)


def main(arguments):
    if arguments == ["--list"]:
        print("\n".join(sorted(CHECKS | ON_REQUEST)))
        return 0
    unknown = [name for name in arguments if name not in CHECKS | ON_REQUEST]
    if unknown:
        print(f"check: there is no check {' '.join(unknown)}; see --list",
              file=sys.stderr)
        return 2

    failed = False
    source_tree = tree.Tree()
    with concurrent.futures.ThreadPoolExecutor(len(CHECKS)) as pool:
        running = {pool.submit(examine, name, source_tree): name
                   for name in arguments or CHECKS}
        for done in concurrent.futures.as_completed(running):
            findings, seconds = done.result()
            report(running[done], findings, seconds)
            failed = failed or bool(findings)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
