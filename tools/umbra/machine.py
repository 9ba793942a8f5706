# SPDX-License-Identifier: MIT
"""The machine that is to run: what Umbra is given, and how much memory.

Guests reach Umbra as boot modules. A module's string says what it is:

    guest name=hello mem=512M cpus=1 nested=on -- the guest's command line
    module -- the module's string       a boot module of the guest before it
    initrd                              likewise, for Linux
"""

import os
import re
from dataclasses import dataclass, field

from . import images, sizes
from .trouble import Trouble

# What Umbra needs beside its guests: itself, page tables and shadow tables
# (these grow with the guests), what alignment to 2 MiB costs.
UMBRA_MEMORY = 64 * sizes.MIB
GUEST_OVERHEAD_DIVISOR = 64
MEMORY_UNIT = 16 * sizes.MIB
# Umbra's own limits (loader/boot_info.h, loader/guest_plan.h).
GUESTS_MAX = 16
GUEST_CPUS_MAX = 64
MODULES_MAX = 64
STRING_BYTES_MAX = 1023
COMMAND_LINE_BYTES_MAX = 2047


@dataclass(frozen=True)
class Module:
    path: str
    string: str

    def __post_init__(self):
        if not self.string.isprintable():
            raise Trouble(f"{self.path}: its string must be one line of "
                          f"printable text: {self.string!r}")
        if len(self.string.encode()) > STRING_BYTES_MAX:
            raise Trouble(f"{self.path}: with the guest's settings its string "
                          f"has over {STRING_BYTES_MAX} bytes")

    @property
    def size(self):
        return os.path.getsize(self.path)


@dataclass
class Guest:
    path: str
    command_line: str = ""
    extras: list = field(default_factory=list)  # Modules
    settings: dict = field(default_factory=dict)  # its own, by --its
    memory: int = 0  # bytes, once settle() has been called
    cpus: int = 1

    def settle(self, memory, cpus):
        """What it has if it has nothing of its own."""
        own = self.settings.get("mem")
        self.memory = sizes.parse(own or memory,
                                  "--its mem" if own else "--mem")
        own = self.settings.get("cpus", str(cpus))
        if not re.fullmatch(r"\d{1,4}", own) or \
                not 1 <= int(own) <= GUEST_CPUS_MAX:
            raise Trouble(f"--its cpus={own}: must be a number from 1 to "
                          f"{GUEST_CPUS_MAX}")
        self.cpus = int(own)

    def set(self, pair):
        """--its KEY=VALUE"""
        key, value = key_and_value("--its", pair)
        if key.startswith(("host.", "umbra.")):
            raise Trouble(f"--its {pair}: a guest has no settings of the "
                          "machine's; write --set")
        check_word("--its", pair, value)
        self.settings[key] = value

    def modules(self, name, settings):
        """For Umbra the last word counts, where two say the same."""
        words = ["guest", f"name={name}", f"mem={self.memory // sizes.KIB}K",
                 f"cpus={self.cpus}", *settings,
                 *(f"{key}={value}" for key, value in self.settings.items()
                   if key not in ("mem", "cpus"))]
        if self.command_line:
            words += ["--", self.command_line]
        return [Module(self.path, " ".join(words)), *self.extras]


@dataclass
class Machine:
    """All that an engine needs to know."""

    image: str  # Umbra, an ELF file
    command_line: str
    modules: list
    memory: int  # bytes
    cpus: int
    used: int = 0  # bytes of it that are written before a guest runs
    cpu_model: str = None  # None: the engine's usual one
    ips: int = 1_000_000  # how fast Bochs' devices see the CPU run
    sync: str = "none"  # how Bochs' clock follows the world's
    unknown_msrs: str = "fault"  # what Bochs does: as a CPU, or "ignored"
    iso: str = None  # boot this CD instead of starting the image directly
    firmware: str = "bios"  # or "uefi": QEMU with a CD only
    protocol: str = "multiboot2"  # or "multiboot1": with a CD
    guest_names: tuple = ()
    link: object = None  # its end of a joint.Joint


def key_and_value(option, pair):
    key, equals, value = pair.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z0-9_.-]+", key):
        raise Trouble(f"{option} {pair}: write KEY=VALUE")
    return key, value


def check_word(option, pair, value):
    """It will stand in a string among other words."""
    if not value.isprintable() or re.search('[ "]', value):
        raise Trouble(f"{option} {pair}: a value is one word")


def split_file(text, what):
    """FILE[:STR], where FILE may hold colons: the first split that names an
    existing file counts."""
    if os.path.exists(text):
        return text, ""
    for match in re.finditer(":", text):
        path = text[:match.start()]
        if os.path.exists(path):
            return path, text[match.end():]
    path = text.split(":", 1)[0]
    raise Trouble(f"{what}: no such file: {path or repr(path)}")


def extra_module(path, role, string):
    images.read_file(path, f"--{role}", size=1)
    return Module(path, f"{role} -- {string}" if string else role)


def for_resets(modules):
    """What a machine that a guest comes to needs of them: nothing, or, if the
    guest is to begin anew after a reset, all that it begins with."""
    if not any("reset=restart" in module.string.partition(" -- ")[0].split()
               for module in modules):
        return []
    return [Module(module.path,
                   re.sub("^guest ", "guest start=reset ", module.string))
            for module in modules]


def guest_names(guests):
    """A name for each guest, from its file; unique, one word, plain ASCII."""
    names = []
    for guest in guests:
        stem = os.path.splitext(os.path.basename(guest.path))[0]
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem)[:24].strip("-") or "guest"
        name, n = stem, 2
        while name in names:
            name, n = f"{stem}-{n}", n + 1
        names.append(name)
    return tuple(names)


def needed_memory(guests, modules):
    """The least machine memory with which the guests should start."""
    total = sum(guest.memory for guest in guests)
    files = sum(sizes.round_up(m.size, 4096) for m in modules)
    return sizes.round_up(total + total // GUEST_OVERHEAD_DIVISOR + files
                          + UMBRA_MEMORY, MEMORY_UNIT)


def check_guests(guests):
    """Every guest is one, and fits into its memory."""
    if len(guests) > GUESTS_MAX:
        raise Trouble(f"{len(guests)} guests; {GUESTS_MAX} is the most")
    for guest in guests:
        if guest.memory % 4096:
            raise Trouble("--mem: must be a multiple of 4K")
        image = images.recognise(guest.path)
        extras = sum(extra.size for extra in guest.extras)
        if image.memory_end + extras > guest.memory:
            raise Trouble(
                f"--mem {sizes.show(guest.memory)} is too little: "
                f"{guest.path} with its modules needs at least "
                f"{sizes.show(image.memory_end + extras)}")


def check_memory(machine_memory, guests, modules):
    needed = needed_memory(guests, modules)
    if machine_memory < needed:
        files = sum(m.size for m in modules)
        own = sorted({guest.memory for guest in guests})
        each = " and ".join(
            f"{sum(guest.memory == size for guest in guests)} x "
            f"{sizes.show(size)}" for size in own)
        raise Trouble(
            f"host.mem={sizes.show(machine_memory)} is too little: "
            f"{each} for guests, "
            f"{sizes.show(files)} of files and Umbra itself make "
            f"{sizes.show(needed)}; give more, or less --mem")
