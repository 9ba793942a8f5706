# SPDX-License-Identifier: MIT
"""`umbra run`: from options to a machine, and the machine's run."""

import contextlib
import os
import re

from . import console, engines, images, iso, machine as machines, sizes
from .children import work_directory
from .session import Session
from .trouble import Trouble

_IMAGE = os.path.join("build", "umbra.elf")
_FIRMWARE = ("bios", "uefi")
_UNKNOWN_MSRS = ("fault", "ignored")
_SYNC = ("none", "slowdown", "realtime", "both")


class Settings:
    """The --set KEY=VALUE pairs, sorted by whom they are for."""

    def __init__(self, pairs):
        self._host = {}
        self.umbra = []  # words of Umbra's command line
        self.guest = []  # words of each guest's module string
        for pair in pairs:
            key, value = machines.key_and_value("--set", pair)
            if key.startswith("host.") or key == "ips":
                self._host[key.removeprefix("host.")] = value
                continue
            machines.check_word("--set", pair, value)
            if key.startswith("umbra."):
                self.umbra.append(f"{key.removeprefix('umbra.')}={value}")
            else:
                self.guest.append(pair)

    def take(self, key, default=None):
        return self._host.pop(key, default)

    def take_number(self, key, default, least):
        value = self.take(key)
        if value is None:
            return default
        if not re.fullmatch(r"\d{1,12}", value) or int(value) < least:
            raise Trouble(f"--set host.{key}={value}: must be a number from "
                          f"{least} up")
        return int(value)

    def all_taken(self):
        for key in self._host:
            raise Trouble(f"--set host.{key}: unknown; there are "
                          "mem, cpus, cpu, ips, sync, unknown_msrs, image, "
                          "firmware and protocol")


def build_machine(guests, options, root, way_out):
    """The Machine for the options; `way_out` are words for Umbra's command
    line, and what the user sets goes after them: it counts."""
    settings = Settings(options.set)
    for guest in guests:
        guest.settle(options.mem, options.cpus)
    machines.check_guests(guests)
    words = [f"nested={'off' if options.no_nested else 'on'}", *settings.guest]
    names = machines.guest_names(guests)
    modules = [module for guest, name in zip(guests, names)
               for module in guest.modules(name, words)]
    if len(modules) > machines.MODULES_MAX:
        raise Trouble(f"{len(modules)} files for the guests; "
                      f"{machines.MODULES_MAX} is the most")
    given = settings.take("mem")
    used = machines.needed_memory(guests, modules)
    if given is None:
        memory = used
    else:
        memory = sizes.round_up(sizes.parse(given, "host.mem"), sizes.MIB)
        machines.check_memory(memory, guests, modules)
    built = machines.Machine(
        image=settings.take("image", os.path.join(root, _IMAGE)),
        command_line=" ".join([*way_out, *settings.umbra]),
        modules=modules, memory=memory, used=used,
        cpus=settings.take_number(
            "cpus", max([options.cpus, *(guest.cpus for guest in guests)]), 1),
        cpu_model=settings.take("cpu"),
        ips=settings.take_number("ips", machines.Machine.ips, 1_000_000),
        sync=settings.take("sync", machines.Machine.sync),
        unknown_msrs=settings.take("unknown_msrs",
                                   machines.Machine.unknown_msrs),
        firmware=settings.take("firmware", "bios"),
        protocol=settings.take("protocol", "multiboot2"), guest_names=names)
    settings.all_taken()
    if built.protocol not in iso.PROTOCOLS:
        raise Trouble("--set host.protocol: " + " or ".join(iso.PROTOCOLS))
    if len(built.command_line) > machines.COMMAND_LINE_BYTES_MAX:
        raise Trouble("the --set umbra. words are longer than "
                      f"{machines.COMMAND_LINE_BYTES_MAX} bytes")
    if not os.path.exists(built.image):
        raise Trouble(f"{built.image} is not built; run make")
    images.read_file(built.image, "Umbra's image", size=1)
    return built


def check(machine, options, engine):
    if machine.cpu_model and not re.fullmatch(r"[\w.,+=-]+",
                                              machine.cpu_model):
        raise Trouble(f"--set host.cpu={machine.cpu_model}: no CPU model")
    if machine.firmware not in _FIRMWARE:
        raise Trouble("--set host.firmware: " + " or ".join(_FIRMWARE))
    if machine.sync not in _SYNC:
        raise Trouble("--set host.sync: " + " or ".join(_SYNC))
    if machine.unknown_msrs not in _UNKNOWN_MSRS:
        raise Trouble("--set host.unknown_msrs: " + " or ".join(_UNKNOWN_MSRS))
    if machine.firmware == "uefi" and (not options.iso
                                       or engine.NAME != "qemu"):
        raise Trouble("host.firmware=uefi needs --iso and --engine qemu")
    engine.check(machine)


def open_log(path):
    if path is None:
        return None
    return console.Log(open_output("--log", path), path)


def open_output(option, path):
    try:
        return open(path, "wb")
    except OSError as error:
        raise Trouble(f"{option}: cannot write {path!r}: "
                      f"{error.strerror}") from None


def check_output(option, path):
    """Before it is long: whether that file can be written at the end."""
    is_new = not os.path.exists(path)
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise Trouble(f"{option}: cannot write {path!r}: "
                      f"{error.strerror}") from None
    if is_new:
        os.remove(path)


def make_iso(guests, options, root):
    """A CD for machines of any kind: Umbra stays when its guests have ended,
    and COM1 shows plain text."""
    machine = build_machine(guests, options, root, [])
    iso.build(machine, options.output, root, iso.Terminal.SERIAL)


def run(guests, options, root):
    """The exit status of the run that the options ask for."""
    engine, reason = engines.choose(options.engine)
    machine = build_machine(guests, options, root,
                            ["console=mux", f"exit={engine.EXIT}"])
    check(machine, options, engine)
    with contextlib.ExitStack() as stack:
        if options.iso:
            machine.iso = os.path.join(stack.enter_context(work_directory()),
                                       "run.iso")
            iso.build(machine, machine.iso, root, iso.Terminal.NONE)
        outputs = console.Outputs(machine.guest_names, open_log(options.log),
                                  boot_shown=not machine.iso)
        stack.callback(outputs.close)
        keyboard = stack.enter_context(console.Keyboard())
        if reason:
            outputs.note(reason)
        if keyboard.is_terminal:
            outputs.note("Ctrl-A x quits, Ctrl-A c goes to the monitor")
        session = Session(machine, engine, outputs, keyboard, root)
        return session.run(options.timeout)
