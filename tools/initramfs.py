#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An initial RAM disk for Linux: busybox, kernel modules, files of one's own.

    tools/initramfs.py -o build/linux.cpio
    tools/initramfs.py -o build/linux.cpio --module virtio_console \\
        --file program:/bin/program --script commands.sh

prints the path of the kernel that it is for. In Python:

    disk = initramfs.Initramfs(kernel)
    disk.module("kvm-intel")                loaded at start, with all it needs
    disk.program("build/my-tool")           as /bin/my-tool
    disk.file("/etc/answer", b"42\\n")
    disk.script = "echo my test; poweroff -f"
    disk.write("build/linux.cpio")

What runs: `init` below mounts /proc, /sys, /dev, loads the modules, runs the
script, then a shell on the kernel's console and on those in `shells`. When the
console's shell ends, the machine is powered off.

The archive is cpio's "newc" format, as the kernel's documentation ("initramfs
buffer format") gives it. The same input makes the same bytes.
"""

import argparse
import os
import pathlib
import re
import stat
import sys

import debian

#: What a test waits for.
PROMPT = "umbra-shell# "

_INIT = """\
#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /tmp /run
mount -t devpts devpts /dev/pts
export HOME=/ TERM=vt100 PS1='{prompt}'
for module in $(cat /etc/modules); do
	insmod /lib/modules/$module.ko || echo "init: $module is not loaded"
done
sh /etc/script
# The consoles beside the kernel's own.
for console in $(cat /etc/shells); do
	while [ -c /dev/$console ]; do
		# Who leads a session and opens a terminal controls it.
		setsid sh -c "exec sh -i <>/dev/$console >&0 2>&0"
	done &
done
# The kernel's own is the last one that `console=` names.
setsid cttyhack sh -i
poweroff -f
"""

_FOLDERS = ("bin", "dev", "etc", "lib", "lib/modules", "proc", "root", "sys")


class Initramfs:
    """Collects what is to be in it; `write` makes the file."""

    def __init__(self, kernel):
        self.kernel = kernel
        #: Shell commands to run before the shells start.
        self.script = ""
        #: Consoles beside the kernel's own that get a shell.
        self.shells = []
        self._modules = []
        self._entries = {}
        for name in _FOLDERS:
            self._entries[name] = (stat.S_IFDIR | 0o755, b"", 0)
        self.device("/dev/console", 5, 1)
        busybox = debian.unpacked("busybox-static") / "bin/busybox"
        self.program(busybox)
        for name in _applets(busybox):
            self._entries[f"bin/{name}"] = (stat.S_IFLNK | 0o777, b"busybox",
                                            0)

    def file(self, path, data, mode=0o644):
        """A file with these bytes, and the folders that it needs."""
        path = path.lstrip("/")
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            self._entries.setdefault("/".join(parts[:depth]),
                                     (stat.S_IFDIR | 0o755, b"", 0))
        self._entries[path] = (stat.S_IFREG | mode, data, 0)

    def program(self, source, path=None):
        """A program of this machine, which must be linked statically."""
        source = pathlib.Path(source)
        self.file(path or f"bin/{source.name}", source.read_bytes(), 0o755)

    def device(self, path, major, minor):
        """A character device."""
        self._entries[path.lstrip("/")] = (stat.S_IFCHR | 0o600, b"",
                                           major << 8 | minor)

    def module(self, name):
        """A module of the kernel's package, after all that it depends on."""
        name = name.replace("-", "_")
        if name in self._modules:
            return
        data = _module_file(self.kernel, name).read_bytes()
        for needed in _depends(data):
            self.module(needed)
        self.file(f"lib/modules/{name}.ko", data)
        self._modules.append(name)

    def write(self, path):
        """Writes the archive; its path, for a command line."""
        self.file("init", _INIT.format(prompt=PROMPT).encode(), 0o755)
        self.file("etc/modules", " ".join(self._modules).encode())
        self.file("etc/script", self.script.encode() + b"\n")
        self.file("etc/shells", " ".join(self.shells).encode())
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            for number, name in enumerate(sorted(self._entries), start=1):
                file.write(_entry(name, number, *self._entries[name]))
            file.write(_entry("TRAILER!!!", 0, 0, b"", 0))
        return str(path)


def _entry(name, inode, mode, data, device):
    """One member of a newc archive: 13 fields of 8 hexadecimal digits behind
    the magic, the name with its zero, the data; both padded to 4 bytes."""
    encoded = name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, device >> 8,
              device & 0xFF, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def _applets(busybox):
    """What busybox can be called as: the names in its own list."""
    listed = os.popen(f"'{busybox}' --list").read().split()
    return [name for name in listed if name not in ("busybox", "init")]


def _module_file(kernel, name):
    pattern = re.compile(name.replace("_", "[-_]") + r"\.ko")
    for path in sorted(kernel.modules.rglob("*.ko")):
        if pattern.fullmatch(path.name):
            return path
    raise debian.Unavailable(f"{kernel.version} has no module {name}")


def _depends(data):
    """The names in the module's own list (its section .modinfo)."""
    found = re.search(rb"\0depends=([^\0]*)\0", data)
    return found[1].decode().split(",") if found and found[1] else []


def main(words):
    parser = argparse.ArgumentParser(
        prog="tools/initramfs.py",
        description="Makes an initial RAM disk for Debian's Linux kernel.")
    parser.add_argument("-o", "--output", required=True, metavar="FILE")
    parser.add_argument("--flavour", default="cloud-amd64",
                        help="linux-image-FLAVOUR (cloud-amd64)")
    parser.add_argument("--module", action="append", default=[],
                        metavar="NAME", help="load this module at start")
    parser.add_argument("--file", action="append", default=[],
                        metavar="FILE:PATH", help="a program or file to add")
    parser.add_argument("--script", metavar="FILE",
                        help="shell commands to run before the shell")
    parser.add_argument("--shell", action="append", default=[],
                        metavar="TTY", help="a second console with a shell: "
                        "hvc0 or ttyS0")
    options = parser.parse_args(words)
    disk = Initramfs(debian.kernel(options.flavour))
    disk.shells = options.shell
    for name in options.module:
        disk.module(name)
    for pair in options.file:
        source, _, path = pair.partition(":")
        disk.program(source, path or None)
    if options.script:
        disk.script = pathlib.Path(options.script).read_text("utf-8")
    disk.write(options.output)
    print(os.path.relpath(disk.kernel.image))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except debian.Unavailable as reason:
        sys.exit(f"initramfs: {reason}")
