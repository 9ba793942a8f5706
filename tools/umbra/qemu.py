# SPDX-License-Identifier: MIT
"""The QEMU engine: fast with KVM on an Intel host that has nested VMX;
without it there is no VMX, and Umbra says so."""

import os
import re
import shutil

from . import sizes
from .trouble import Trouble

NAME = "qemu"
EXIT = "qemu"
CPUS_MAX = 255
_KVM = "/dev/kvm"
_NESTED = "/sys/module/kvm_intel/parameters/nested"
_UEFI = ("/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF_CODE.fd",
         "/usr/share/edk2/ovmf/OVMF_CODE.fd")


def no_nested_vmx():
    """Why QEMU can give no VMX here, or None if it can."""
    try:
        with open(_NESTED, encoding="ascii") as file:
            enabled = file.read().strip() in ("Y", "1")
    except OSError:
        return "no KVM for Intel CPUs here"
    if not enabled:
        return "nested VMX is switched off in kvm_intel"
    if not os.access(_KVM, os.R_OK | os.W_OK):
        return f"no access to {_KVM}"
    return None


def program():
    name = os.environ.get("UMBRA_QEMU", "qemu-system-x86_64")
    found = shutil.which(name)
    if not found:
        raise Trouble("QEMU is not installed; apt-get install qemu-system-x86")
    return found


def check(machine):
    if machine.cpus > CPUS_MAX:
        raise Trouble(f"QEMU has at most {CPUS_MAX} CPUs here; "
                      f"set host.cpus={CPUS_MAX}")


def command(machine, directory, port, _root):
    """Links the files into `directory`, by names without any blank or comma;
    QEMU's command line, to be run there."""
    check(machine)
    if no_nested_vmx():
        accelerator, cpu = "tcg", "max"
    else:
        accelerator, cpu = "kvm", "host"
    argv = [
        program(), "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none", "-vga", "std", "-monitor", "none",
        "-machine", f"pc,accel={accelerator}",
        "-cpu", machine.cpu_model or cpu, "-smp", str(machine.cpus),
        "-m", f"{machine.memory // sizes.MIB}M",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
        "-chardev", f"socket,id=com1,host=127.0.0.1,port={port}",
        "-serial", "chardev:com1",
    ]
    if machine.link:
        argv += machine.link.qemu()
    if machine.firmware == "uefi":
        argv += ["-bios", _uefi()]
    if machine.iso:
        _link(machine.iso, directory, "boot.iso")
        return argv + ["-cdrom", "boot.iso", "-boot", "d"]
    return argv + _boot_fast(machine, directory)


def _boot_fast(machine, directory):
    """QEMU is a multiboot 1 loader; it puts file names before the strings."""
    _link(machine.image, directory, "umbra")
    argv = ["-kernel", "umbra", "-append", machine.command_line]
    if machine.modules:
        modules = []
        for i, module in enumerate(machine.modules):
            _link(module.path, directory, f"m{i}")
            modules.append(f"m{i} {module.string}".replace(",", ",,"))
        argv += ["-initrd", ",".join(modules)]
    return argv


def _uefi():
    for path in _UEFI:
        if os.path.exists(path):
            return path
    raise Trouble("no UEFI firmware for QEMU; apt-get install ovmf")


def _link(path, directory, name):
    os.symlink(os.path.abspath(path), os.path.join(directory, name))


def why_ended(status, directory):
    """How QEMU ended, to go on after its name, or None."""
    with open(os.path.join(directory, "engine.out"), "rb") as file:
        lines = file.read().decode("utf-8", "replace").splitlines()
    lines = [line for line in lines if line.strip() and "warning:" not in line]
    if lines and status == 1:
        return re.sub(r"^\S*qemu-system-x86_64: ", "stopped: ", lines[-1])
    if status == 0:
        return "stopped at a triple fault, a reset or a power-off"
    if status % 2:
        return f"was left through port 0xf4 with status {status}"
    return None
