# SPDX-License-Identifier: MIT
"""What the tests of the front end share: small guests, a fake engine."""

import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

# A shell's background job ignores SIGINT, nohup's SIGHUP; and so would all that
# is started.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

MIB = 1 << 20
MB1_HEADER = struct.pack("<III", 0x1BADB002, 3, -0x1BADB002 - 3 & 0xFFFFFFFF)
MB2_HEADER = struct.pack("<IIII", 0xE85250D6, 0, 16,
                         -0xE85250D6 - 16 & 0xFFFFFFFF)


def elf32(payload, address=MIB, zeros=0, entry=None, kind=2):
    """An ELF file of one segment: `payload`, then `zeros` bytes."""
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1\1", kind, 3, 1,
                         address if entry is None else entry, 52, 0, 0, 52,
                         32, 1, 0, 0, 0)
    program = struct.pack("<IIIIIIII", 1, 84, address, address, len(payload),
                          len(payload) + zeros, 7, 4096)
    return header + program + payload


def elf64(payload, address=MIB, zeros=0):
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1,
                         address, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    program = struct.pack("<IIQQQQQQ", 1, 7, 120, address, address,
                          len(payload), len(payload) + zeros, 4096)
    return header + program + payload


def bzimage(version=0x20F, init_size=2 * MIB):
    data = bytearray(4096)
    data[510:512] = b"\x55\xaa"
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", data, 0x206, version)
    struct.pack_into("<QI", data, 0x258, MIB, init_size)
    return bytes(data)


class Place:
    """A folder for one test, with a blank, a comma and a colon in its name,
    a guest in it, and an engine that does as it is told."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="a test, of:umbra ")
        self._plays = 0
        self.path = pathlib.Path(self._folder.name)
        self.scratch = self.path / "scratch"  # the front end's TMPDIR
        self.scratch.mkdir()
        self.guest = self.write("guest.elf", elf32(MB1_HEADER))
        self.image = self.write("umbra.elf", elf32(MB1_HEADER + b"umbra"))
        self.write("BIOS-bochs-latest", b"")
        self.write("VGABIOS-lgpl-latest", b"")

    def write(self, name, data):
        path = self.path / name
        path.write_bytes(data)
        return str(path)

    def environment(self, *play):
        """`play` is what the engine is to do: see fake_engine.py."""
        engine = ROOT / "tests/front/fake_engine.py"
        self._plays += 1
        script = self.write(f"play{self._plays}", json.dumps(play).encode())
        return dict(os.environ, UMBRA_BOCHS=str(engine),
                    UMBRA_QEMU=str(engine), BXSHARE=str(self.path),
                    TMPDIR=str(self.scratch), FAKE_ENGINE=script)

    def start(self, *words, play=(), **options):
        """./umbra with these words; its own image and engine stand in."""
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(
            [str(ROOT / "umbra"), *map(str, words)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=self.environment(*play), **options)

    def start_run(self, *words, play=(), guest=None, engine="bochs",
                  **options):
        return self.start("run", guest or self.guest, "--engine", engine,
                          "--set", f"host.image={self.image}", *words,
                          play=play, **options)

    def run(self, *words, **options):
        """(status, stdout, stderr) of a run to its end."""
        return finish(self.start_run(*words, **options))

    def left_over(self):
        return sorted(path.name for path in self.scratch.iterdir())

    def close(self):
        self._folder.cleanup()


def finish(process, stdin=None, timeout=20):
    out, err = process.communicate(stdin, timeout=timeout)
    return process.returncode, out, err.decode()
