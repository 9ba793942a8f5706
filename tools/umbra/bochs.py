# SPDX-License-Identifier: MIT
"""The Bochs engine: emulates VMX on any machine."""

import os
import re
import shutil
import subprocess

from . import fastboot, sizes
from .trouble import Trouble

NAME = "bochs"
EXIT = "bochs"  # Umbra's word for how it leaves this machine
CPU_MODEL = "tigerlake"  # has PML, EPT A/D, VMCS shadowing, TSC scaling
CPUS_MAX = 8
# More memory than this ends at 3 GiB all the same, below the PCI hole.
MEMORY_MAX = 3 * sizes.GIB
# What Bochs 2 holds; the rest goes to a file and is lost on its way.
_HELD_MAX_OF_2 = 2 * sizes.GIB
_ROM_ADDRESS = 0xD0000  # must agree with optrom.asm
_ROM = os.path.join("build", "optrom.bin")

_CONFIGURATION = """\
display_library: rfb, options="timeout=0"
memory: guest={guest}, host={host}
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0, \
ignore_bad_msrs={ignored}
clock: sync={sync}, time0=utc
romimage: file="{share}/BIOS-bochs-latest"
vgaromimage: file="{share}/VGABIOS-lgpl-latest"
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
sound: driver=dummy
speaker: enabled=0
panic: action=fatal
error: action=report
info: action=report
log: bochs.log
{boot}"""
_BOOT_FAST = """\
optromimage1: file=boot.rom, address={rom:#x}
optramimage1: file=boot.ram, address={ram:#x}
boot: disk
"""
_BOOT_CD = """\
ata0-master: type=cdrom, path="boot.iso", status=inserted
boot: cdrom
"""


def program():
    name = os.environ.get("UMBRA_BOCHS", "bochs-bin")
    found = shutil.which(name) or shutil.which("bochs")
    if not found:
        raise Trouble("Bochs is not installed; apt-get install bochs")
    return found


def check(machine):
    if machine.cpus > CPUS_MAX:
        raise Trouble(f"Bochs has at most {CPUS_MAX} CPUs; "
                      f"set host.cpus={CPUS_MAX}")
    if machine.memory > MEMORY_MAX:
        raise Trouble(
            f"the machine would need {sizes.show(machine.memory)}, and Bochs "
            f"can use {sizes.show(MEMORY_MAX)}; give less --mem, or --engine "
            "qemu on a host with nested VMX")
    held = _held(machine.used)
    if held < machine.used:
        raise Trouble(
            f"the guests need {sizes.show(machine.used)}, and this Bochs "
            f"loses what it holds beyond {sizes.show(held)}; give less --mem, "
            "or set UMBRA_BOCHS to one of version 3")


def _held(memory):
    """How much of so much memory this Bochs holds."""
    if memory <= _HELD_MAX_OF_2:
        return memory
    version = re.search(r"Bochs x86 Emulator (\d+)", _help())
    return memory if version and int(version[1]) >= 3 else _HELD_MAX_OF_2


def _help():
    """What it says of itself and of the CPU models that it knows."""
    return subprocess.run([program(), "--help", "cpu"], check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout.decode()


def _cpu_model(machine):
    """The CPU model's name, one that this Bochs knows."""
    if machine.cpu_model is None:
        return CPU_MODEL
    known = _help().split()
    name = machine.cpu_model.split(",")[0]
    if name not in known:
        raise Trouble(f"host.cpu={name}: Bochs knows no such model; "
                      "bochs-bin --help cpu lists them")
    return machine.cpu_model


def command(machine, directory, port, root):
    """Writes what Bochs reads into `directory`; its command line."""
    check(machine)
    boot = _boot_from_cd if machine.iso else _boot_fast
    text = _CONFIGURATION.format(
        guest=machine.memory // sizes.MIB,
        host=_held(machine.memory) // sizes.MIB,
        model=_cpu_model(machine), cpus=machine.cpus,
        ips=machine.ips, sync=machine.sync, share=_share(), port=port,
        boot=boot(machine, directory, root),
        ignored=int(machine.unknown_msrs == "ignored"))
    if machine.link:
        text += machine.link.bochs()
    _write(directory, "bochsrc", text.encode())
    # Umbra's way out leads to the debugger's prompt.
    _write(directory, "commands", b"c\nq\n")
    return [program(), "-q", "-f", "bochsrc", "-rc", "commands"]


def _boot_from_cd(machine, directory, _root):
    os.symlink(os.path.abspath(machine.iso),
               os.path.join(directory, "boot.iso"))
    return _BOOT_CD


def _boot_fast(machine, directory, root):
    rom = os.path.join(root, _ROM)
    if not os.path.exists(rom):
        raise Trouble(f"{_ROM} is not built; run make")
    layout = fastboot.write_image(machine, os.path.join(directory, "boot.ram"))
    with open(rom, "rb") as file:
        _write(directory, "boot.rom", fastboot.option_rom(file.read(), layout))
    return _BOOT_FAST.format(rom=_ROM_ADDRESS, ram=fastboot.IMAGE_BASE)


def _share():
    places = [os.environ.get("BXSHARE"), "/usr/share/bochs",
              "/usr/local/share/bochs"]
    for place in filter(None, places):
        if os.path.exists(os.path.join(place, "BIOS-bochs-latest")):
            return place
    raise Trouble("Bochs has no BIOS; apt-get install bochsbios vgabios")


def _write(directory, name, data):
    with open(os.path.join(directory, name), "wb") as file:
        file.write(data)


def why_ended(status, directory):
    """How Bochs ended, to go on after its name, or None."""
    panics = re.findall(r"^\d+p\[(\w+) *\] >>PANIC<< (.*)$",
                        _read(directory, "bochs.log"), re.MULTILINE)
    if panics and "could not bind" in panics[-1][1]:
        return ("found no free port for its display, 5900 to 5949: too many "
                "run at once")
    if panics and "3rd (" in panics[-1][1]:
        return f"stopped at a triple fault ({panics[-1][1]})"
    if panics and "shutdown requested" in panics[-1][1]:
        return "was left through port 0x8900"
    if panics:
        return f"stopped: {panics[-1][0]}: {panics[-1][1]}"
    # Before there is a log file.
    message = re.search(r"exiting with the following message:\n(.*)",
                        _read(directory, "engine.out"))
    if message:
        return f"did not start: {message[1]}"
    if status == 0:
        return "was left, as Umbra does, but without a word before"
    return None


def _read(directory, name):
    try:
        with open(os.path.join(directory, name), "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
