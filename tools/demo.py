# SPDX-License-Identifier: MIT
"""`make demo`: what Umbra does, shown on whatever machine this is.

Each scene is one `./umbra run`, with a line before that says what to look for
and a line after that says whether it came out so.
"""

import dataclasses
import subprocess
import sys
import time

import tree

LIMIT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Scene:
    title: str
    #: What stands after `./umbra run`.
    words: list
    #: What the guest or Umbra says, and the exit status, if all is well.
    says: str
    status: int


SCENES = [
    Scene("A guest on two CPUs says hello, sleeps, wakes, and ends with 21.",
          ["build/guests/hello.elf", "--cpus", "2", "--append", "exit=21"],
          "RESULT PASS", 21 << 1 | 1),
    Scene("One of two guests breaks: Umbra stops it and says why (status 126);"
          "\n    the other one does not notice.",
          ["build/guests/faults.elf", "--append", "triple",
           "--guest", "build/guests/hello.elf"],
          "RESULT PASS", 126),
    Scene("While a guest writes, its memory is copied by its dirty log, as a"
          " migration would;\n    at its end both are compared, byte by byte.",
          ["build/guests/ring.elf", "--append", "mb=4 laps=6", "--mem", "32M",
           "--set", "loopback=60", "--set", "host.mem=256M"],
          "memory is identical", 1),
]


def play(scene, number):
    """Shows one scene; True if it came out as announced."""
    command = ["./umbra", "run", *scene.words, "--timeout", str(LIMIT_SECONDS)]
    print(f"\n--- {number}. {scene.title}\n    {' '.join(command)}\n",
          flush=True)
    start = time.monotonic()
    said = []
    with subprocess.Popen(command, cwd=tree.ROOT, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as child:
        for line in child.stdout:
            said.append(line)
            print(f"    {line.rstrip()}", flush=True)
    good = (child.returncode == scene.status
            and any(scene.says in line for line in said))
    print(f"\n    status {child.returncode}, as it should be {scene.status}; "
          f"{time.monotonic() - start:.1f} s: {'good' if good else 'BAD'}")
    return good


def main(_words):
    print("Umbra, a hypervisor: a demonstration.")
    results = [play(scene, number)
               for number, scene in enumerate(SCENES, start=1)]
    print(f"\n{sum(results)} of {len(results)} scenes came out as announced.")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
