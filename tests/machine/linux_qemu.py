# SPDX-License-Identifier: MIT
"""Linux with KVM as L1, and in it Debian's QEMU with a Linux as L2.

    disk = linux_qemu.new_disk(machine, cpus=1)
    with linux.boot(machine, disk, "--mem", "512M") as talk: ...
    shell.run("qemu")                      L2 runs to its end
"""

import os
import pathlib
import shutil
import subprocess

import linux

QEMU = "qemu-system-x86_64"
#: What QEMU reads at its start: the firmware, what loads a Linux kernel, and
#: what makes a 32-bit guest's TPR cheap.
_FIRMWARE = {
    "bios-256k.bin": ("/usr/share/seabios", "/usr/share/qemu"),
    "linuxboot_dma.bin": ("/usr/share/qemu",),
    "kvmvapic.bin": ("/usr/share/qemu",),
}

_SCRIPT_OF_L2 = """\
echo "l2: CPUs $(grep -c ^processor /proc/cpuinfo)"
echo "l2: $(grep -o -m1 -w hypervisor /proc/cpuinfo)"
echo "l2: sum $(seq 1 20000 | md5sum)"
echo "l2: init done"
poweroff -f
"""


def new_disk(machine, cpus=1, script=_SCRIPT_OF_L2, words=""):
    """L1's disk; `qemu` in it starts an L2 with as many CPUs, which runs the
    script; `words` are for its kernel's command line."""
    small = linux.new_disk()
    small.script = script
    inner = small.write(machine.folder / "l2.cpio")
    disk = linux.new_disk()
    disk.module("kvm-intel")
    for source, path in _files():
        disk.file(path, source.read_bytes(), 0o755)
    disk.file("/l2/kernel", disk.kernel.image.read_bytes())
    disk.file("/l2/initrd", pathlib.Path(inner).read_bytes())
    disk.file("/bin/qemu", f"""\
#!/bin/sh
exec {QEMU} -accel kvm -cpu host -m 96 -smp {cpus} -nodefaults \\
	-no-user-config -display none -no-reboot -serial stdio -L /firmware \\
	-kernel /l2/kernel -initrd /l2/initrd -append "{linux.QUICK} {words}"
""".encode(), 0o755)
    return disk


def _files():
    """QEMU, the libraries that the loader would find for it, its firmware."""
    program = shutil.which(QEMU)
    if not program:
        raise linux.Skip(f"there is no {QEMU}")
    yield pathlib.Path(program), f"/bin/{QEMU}"
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE,
                            text=True, check=True).stdout
    for line in listed.splitlines():
        words = line.split()
        path = words[2] if "=>" in words else words[0]
        if path.startswith("/"):
            yield pathlib.Path(path), path
    for name, folders in _FIRMWARE.items():
        for folder in folders:
            if os.path.exists(f"{folder}/{name}"):
                yield pathlib.Path(folder, name), f"/firmware/{name}"
                break
        else:
            raise linux.Skip(f"there is no {name}")
