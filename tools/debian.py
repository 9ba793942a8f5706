# SPDX-License-Identifier: MIT
"""Packages of the Debian archive, unpacked under build/debian/.

No root is needed and nothing is installed: `apt-get download`, then
`dpkg-deb --extract`. Where the machine's own package lists are missing or out
of date, a copy of them is kept beside the packages. What has been unpacked
once is used without a network until `make clean`.

    kernel = debian.kernel("cloud-amd64")       a Kernel: vmlinuz, modules
    busybox = debian.unpacked("busybox-static") / "bin/busybox"
"""

import contextlib
import dataclasses
import fcntl
import pathlib
import re
import subprocess

import tree

FOLDER = tree.ROOT / "build/debian"


class Unavailable(Exception):
    """The package cannot be had; the text says why, in one line."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel package: its image, and where its modules lie."""

    version: str
    image: pathlib.Path
    modules: pathlib.Path


def kernel(flavour="cloud-amd64"):
    """The kernel that linux-image-FLAVOUR stands for today."""
    depends = _field(_package(f"linux-image-{flavour}"), "Depends")
    found = re.search(r"linux-image-(\d[\w.+-]*)", depends)
    if not found:
        raise Unavailable(f"linux-image-{flavour} names no kernel: {depends}")
    version = found[1]
    root = unpacked(f"linux-image-{version}")
    return Kernel(version, root / f"boot/vmlinuz-{version}",
                  root / f"lib/modules/{version}")


def unpacked(name):
    """The folder that holds the files of package `name`."""
    file = _package(name)
    root = FOLDER / name
    with _only_one_of_us():
        if not root.exists():
            half = FOLDER / f"{name}.half"
            _run("rm", "-rf", half)
            _run("dpkg-deb", "--extract", file, half)
            half.rename(root)
    return root


def _package(name):
    """The .deb file of package `name`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _only_one_of_us():
        if not _files(name):
            _download(name)
        found = _files(name)
    if not found:
        raise Unavailable(f"apt-get brought no file for {name}")
    return found[-1]


def _files(name):
    return sorted(FOLDER.glob(f"{name}_*.deb"))


def _download(name):
    words = ["-o", "APT::Sandbox::User=root", "download", name]
    try:
        _run("apt-get", *words)
    except Unavailable:
        own = _own_lists()
        _run("apt-get", *own, "update")
        _run("apt-get", *own, *words)


def _own_lists():
    """apt's state in a folder of ours, so that anybody may update it."""
    lists, cache = FOLDER / "apt/lists", FOLDER / "apt/cache"
    for folder in (lists / "partial", cache / "archives/partial"):
        folder.mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}",
            "-o", "APT::Sandbox::User=root"]


def _field(file, name):
    return _run("dpkg-deb", "--field", file, name).strip()


@contextlib.contextmanager
def _only_one_of_us():
    """Tests run side by side, and may want the same package."""
    with open(FOLDER / "lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(*words):
    """What the command prints."""
    words = [str(word) for word in words]
    try:
        done = subprocess.run(words, cwd=FOLDER, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False)
    except FileNotFoundError:
        raise Unavailable(f"{words[0]} is not there: this is no Debian"
                          ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no word of why"]
        raise Unavailable(f"{words[0]}: {lines[-1]}")
    return done.stdout
