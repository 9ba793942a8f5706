# SPDX-License-Identifier: MIT
"""The build gives the same bytes anywhere, with any compiler prefix.

What other builds are compared with is what stands in build/ here, made step by
step as the sources changed: that must make no difference either.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import tree

#: What `make` makes for users.
PRODUCTS = ("umbra.elf", "umbra.elf64", "umbra.iso", "guests/*.elf")

CROSS = "x86_64-elf-"

#: What CROSS_COMPILE is put in front of.
CROSS_TOOLS = ("gcc", "ld", "nm", "objcopy")


def copy_tree(target):
    source = tree.Tree()
    for path in source.paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.root / path, target / path)


def build(folder, *words, **environment):
    outer = tree.environment_without_make()
    done = subprocess.run(["make", "-s", "SETUP=no", *words, "all"],
                          cwd=folder, env=dict(outer, **environment),
                          text=True, check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode:
        raise AssertionError("make failed:\n" + done.stdout)


def products(folder):
    """{name: bytes} of everything that the build makes for users."""
    made = folder / "build"
    return {str(path.relative_to(made)): path.read_bytes()
            for pattern in PRODUCTS for path in sorted(made.glob(pattern))}


def plant_cross_tools(folder):
    """gcc and its like under their cross names alone; the bare names fail."""
    for name in CROSS_TOOLS:
        (folder / (CROSS + name)).symlink_to(shutil.which(name))
        trap = folder / name
        trap.write_text(f"#!/bin/sh\necho bare {name} was called >&2\nexit 1\n")
        trap.chmod(0o755)


class Build(unittest.TestCase):
    def assert_same_as_here(self, folder):
        here, there = products(ROOT), products(folder)
        self.assertIn("umbra.elf", there)
        self.assertIn("umbra.iso", there)
        different = [name for name in there if there[name] != here.get(name)]
        self.assertEqual(different, [])

    def test_all_is_other_and_the_bytes_are_the_same(self):
        """The folder, the day, the language and the order; and the tools
        have cross names alone. All at once, as a build takes half a minute."""
        with tempfile.TemporaryDirectory() as scratch:
            there = pathlib.Path(scratch) / "another folder" / "deeper"
            copy_tree(there)
            for path in there.rglob("*"):
                os.utime(path, (1e9, 1e9))
            tools = pathlib.Path(scratch) / "tools-on-path"
            tools.mkdir()
            plant_cross_tools(tools)
            build(there, "-j1", f"CROSS_COMPILE={CROSS}",
                  TZ="Pacific/Auckland", LC_ALL="C.UTF-8",
                  PATH=f"{tools}:{os.environ['PATH']}")
            self.assert_same_as_here(there)
