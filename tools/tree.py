# SPDX-License-Identifier: MIT
"""The source tree as the checks see it: its files, and the Makefile's lists.

A Tree can stand on any directory, so that tests/checks can put a check on a
tiny tree that holds exactly one fault.
"""

import functools
import os
import pathlib
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent

SKIPPED_FOLDERS = {".git", "build", "__pycache__"}


class Tree:
    def __init__(self, root=ROOT):
        self.root = pathlib.Path(root)

    @functools.cached_property
    def paths(self):
        """Every file, as a sorted list of paths with forward slashes."""
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in SKIPPED_FOLDERS]
            relative = pathlib.Path(folder).relative_to(self.root)
            found += [(relative / name).as_posix() for name in names]
        return sorted(found)

    def ending(self, *suffixes):
        return [p for p in self.paths if p.endswith(suffixes)]

    def exists(self, path):
        return (self.root / path).exists()

    @functools.lru_cache(maxsize=None)
    def text(self, path):
        return (self.root / path).read_text(encoding="utf-8")

    def lines(self, path):
        """(number, line) pairs, numbers from 1."""
        return enumerate(self.text(path).splitlines(), start=1)

    @functools.lru_cache(maxsize=None)
    def make_words(self, variable):
        """The words of a Makefile variable, expanded; quotes as in a shell."""
        done = subprocess.run(
            ["make", "-s", "--no-print-directory", f"print-{variable}"],
            cwd=self.root, env=environment_without_make(), check=True,
            stdout=subprocess.PIPE, text=True)
        return shlex.split(done.stdout)


def environment_without_make():
    """For a make that we start: it shall not look for an outer make's jobs."""
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    return {name: value for name, value in os.environ.items()
            if name not in outer}
