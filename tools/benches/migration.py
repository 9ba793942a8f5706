# SPDX-License-Identifier: MIT
"""A guest that writes all the time moves between two machines: its bytes on the
wire, and what it stands still for. Times are those of an emulator whose clock
runs on while it waits for the other machine: compare them with each other."""

import json
import subprocess
import sys

import tree

from .row import Row, Trouble

TITLE = "Migration of a guest that writes: bytes and standstill"
ORDER = 45

_LIMIT_SECONDS = 200
_OPTIONS = ("--append", "mb=1 mark=0 laps=40000 cpus=2", "--cpus", "2",
            "--mem", "4M", "--engine", "bochs", "--link", "net", "--at", "0.5",
            "--set", "host.ips=20000000", "--set", "downtime=200s", "--json")
_PARTS = (("pause", "stopping it and saving its state"),
          ("copy", "the pages it wrote last"),
          ("state", "sending the state"),
          ("audit", "hashing all memory"),
          ("answer", "the peer: hashing, loading the state"),
          ("start", "COMMIT until it runs there"),
          ("total", "all of its standstill"))


def _migrate(*options):
    command = [sys.executable, "umbra", "migrate", "build/guests/ring.elf",
               *_OPTIONS, *options]
    try:
        done = subprocess.run(command, cwd=tree.ROOT, check=False, text=True,
                              capture_output=True, timeout=_LIMIT_SECONDS)
        told = json.loads(done.stdout)["migrations"][0]
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise Trouble(f"umbra migrate: {error}") from None
    if told["result"] != "moved":
        raise Trouble("the guest was not moved")
    return told


def measure(bench):
    bench.progress("a guest moves, as it is ...")
    plain = _migrate("--set", "compress=off")
    yield Row("bytes on the wire per byte of its pages", unit="bytes",
              umbra=plain["bytes"] / (4096 * plain["raw"]), limit=1,
              target=1.02)
    bench.progress("a guest moves, compressed ...")
    packed = _migrate()
    yield Row("the same, compressed", unit="bytes",
              umbra=packed["bytes"] / (4096 * packed["raw"]))
    for name, work in _PARTS:
        yield Row(work, unit="ms", umbra=plain["downtime_us"][name] / 1000)
