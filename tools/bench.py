#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The figures: `./umbra bench`.

	./umbra bench			all sections, as tables
	./umbra bench --only dirty	one section (may be given several times)
	./umbra bench --json FILE	the same as data; - is standard output
	./umbra bench --check		status 1 if a target is missed

bench/README.md says what the columns mean and how to reproduce them.
"""

import argparse
import json
import os
import subprocess
import sys

import benches
import tree
from benches import machine, row

_COLUMNS = ("limit", "KVM", "Umbra", "target", "", "ratio", "exits",
            "flushes", "IPIs", "cost", "KVM cost")


def parse_arguments(words, names):
    parser = argparse.ArgumentParser(
        prog="umbra bench", description="What things cost, beside KVM.")
    parser.add_argument("--only", action="append", choices=names,
                        metavar="SECTION", help=", ".join(names))
    parser.add_argument("--json", metavar="FILE",
                        help="write the figures as JSON; - for standard "
                        "output, without tables")
    parser.add_argument("--check", action="store_true",
                        help="status 1 if a target is missed")
    parser.add_argument("--quiet", action="store_true",
                        help="no progress on standard error")
    return parser.parse_args(words)


def build():
    """What is measured is what the sources say."""
    done = subprocess.run(["make", f"-j{os.cpu_count() or 1}", "all"],
                          cwd=tree.ROOT, env=tree.environment_without_make(),
                          text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if done.returncode:
        raise row.Trouble(f"make failed:\n{done.stdout[-2000:]}")


# --- The table --------------------------------------------------------------

def number(value):
    """As many digits as say something."""
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def count(value, times):
    """Of exits and the like: per piece of work, or those few there are."""
    if value is None:
        return "-"
    if value and value < times / 100:
        return f"{value} in all"
    return f"{value / times:.2f}".rstrip("0").rstrip(".")


def cells(figures):
    verdict = {None: "", True: "met", False: "MISSED"}[figures.met]
    unit = "" if figures.unit == "ticks" else f" {figures.unit}"
    return (number(figures.limit), number(figures.kvm),
            number(figures.umbra) + unit, number(figures.target), verdict,
            "-" if figures.ratio is None else f"{figures.ratio:.1f}x",
            count(figures.exits, figures.times),
            count(figures.flushes, figures.times),
            count(figures.ipis, figures.times),
            number(figures.cost), number(figures.kvm_cost))


def table(title, rows):
    notes = list(dict.fromkeys(each.note for each in rows if each.note))
    names = [each.work + (f" [{notes.index(each.note) + 1}]"
                          if each.note else "") for each in rows]
    lines = [("", *_COLUMNS)] + [(name, *cells(each))
                                 for name, each in zip(names, rows)]
    widths = [max(len(line[i]) for line in lines)
              for i in range(len(_COLUMNS) + 1)]
    text = [title, ""]
    for line in lines:
        text.append("  ".join([line[0].ljust(widths[0])] +
                              [cell.rjust(width) for cell, width
                               in zip(line[1:], widths[1:])]).rstrip())
    text += [f"[{i}] {note}" for i, note in enumerate(notes, start=1)]
    return "\n".join(text) + "\n"


# --- All of it --------------------------------------------------------------

def measure(section, options):
    """The section's rows, and why there are none or not all."""
    rows = []
    bench = machine.Bench(section.name, options.quiet)
    try:
        for each in section.measure(bench):
            rows.append(each)
    except row.Unmeasurable as reason:
        return rows, f"not measured here: {reason}", False
    except row.Trouble as reason:
        return rows, f"FAILED: {reason}", True
    return rows, "", False


def write_json(path, results):
    text = json.dumps({
        "unit": "ticks of the emulator's TSC, unless a row says another",
        "model": {"exit": row.EXIT_TICKS, "flush": row.FLUSH_TICKS,
                  "ipi": row.IPI_TICKS},
        "sections": [{"name": section.name, "title": section.title,
                      "trouble": trouble,
                      "rows": [each.as_dict() for each in rows]}
                     for section, rows, trouble in results],
    }, indent=1) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def run(sections, options):
    results, failed = [], False
    for section in sections:
        rows, trouble, is_failure = measure(section, options)
        failed = failed or is_failure
        results.append((section, rows, trouble))
        if options.json != "-":
            print(table(section.title, rows) if rows else section.title)
            if trouble:
                print(f"{section.name}: {trouble}\n")
            sys.stdout.flush()
    if options.json:
        write_json(options.json, results)
    missed = [each.work for _, rows, _ in results for each in rows
              if each.met is False]
    if missed and options.check:
        print(f"targets missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if failed or (missed and options.check) else 0


def main(words):
    sections = benches.find()
    options = parse_arguments(words, [section.name for section in sections])
    try:
        build()
        return run([section for section in sections if not options.only
                    or section.name in options.only], options)
    except row.Trouble as reason:
        print(f"umbra bench: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
