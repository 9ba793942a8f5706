# SPDX-License-Identifier: MIT
"""`umbra run`: from options to a machine, and the machine's run."""

import contextlib
import os
import re

from . import console, engines, machine as machines, sizes
from .session import Session
from .trouble import Trouble

_IMAGE = os.path.join("build", "umbra.elf")
_FIRMWARE = ("bios", "uefi")


class Settings:
    """The --set KEY=VALUE pairs, sorted by whom they are for."""

    def __init__(self, pairs):
        self._host = {}
        self.umbra = []  # words of Umbra's command line
        self.guest = []  # words of each guest's module string
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals or not re.fullmatch(r"[A-Za-z0-9_.-]+", key):
                raise Trouble(f"--set {pair}: write KEY=VALUE")
            if re.search(r"\s|\0", value):
                raise Trouble(f"--set {pair}: a value is one word")
            if key.startswith("host.") or key == "ips":
                self._host[key.removeprefix("host.")] = value
            elif key.startswith("umbra."):
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
            raise Trouble(f"--set {key}={value}: must be a number from "
                          f"{least} up")
        return int(value)

    def all_taken(self):
        for key in self._host:
            raise Trouble(f"--set host.{key}: unknown; there are host.mem, "
                          "host.cpus, host.cpu, host.image, host.firmware")


def build_machine(guests, options, root):
    """(Machine, engine, a line that says why this engine or None)."""
    engine, reason = engines.choose(options.engine)
    settings = Settings(options.set)
    guest_memory = sizes.parse(options.mem, "--mem")
    machines.check_guests(guests, guest_memory)
    words = [f"mem={guest_memory // sizes.KIB}K", f"cpus={options.cpus}",
             f"nested={'off' if options.no_nested else 'on'}", *settings.guest]
    names = machines.guest_names(guests)
    modules = [module for guest, name in zip(guests, names)
               for module in guest.modules(name, words)]
    if len(modules) > machines.MODULES_MAX:
        raise Trouble(f"{len(modules)} files for the guests; "
                      f"{machines.MODULES_MAX} is the most")
    given = settings.take("mem")
    if given is None:
        memory = machines.needed_memory(guests, modules, guest_memory)
    else:
        memory = sizes.round_up(sizes.parse(given, "host.mem"), sizes.MIB)
        machines.check_memory(memory, guests, modules, guest_memory)
    built = machines.Machine(
        image=settings.take("image", os.path.join(root, _IMAGE)),
        command_line=_command_line(engine, settings),
        modules=modules, memory=memory,
        cpus=settings.take_number("cpus", options.cpus, 1),
        cpu_model=settings.take("cpu"),
        ips=settings.take_number("ips", machines.Machine.ips, 1_000_000),
        firmware=settings.take("firmware", "bios"), guest_names=names)
    settings.all_taken()
    _check(built, options, engine)
    return built, engine, reason


def _command_line(engine, settings):
    """What the user sets goes last: it counts."""
    return " ".join(["console=mux", f"exit={engine.EXIT}", *settings.umbra])


def _check(machine, options, engine):
    if not os.path.exists(machine.image):
        raise Trouble(f"{machine.image} is not built; run make")
    if machine.firmware not in _FIRMWARE:
        raise Trouble("--set host.firmware: bios or uefi")
    if machine.firmware == "uefi" and (not options.iso
                                       or engine.NAME != "qemu"):
        raise Trouble("host.firmware=uefi needs --iso and --engine qemu")
    engine.check(machine)


def _open_log(path):
    if path is None:
        return None
    try:
        return console.Log(open(path, "wb"))
    except OSError as error:
        raise Trouble(f"--log: cannot write {path}: "
                      f"{error.strerror}") from None


def run(guests, options, root):
    """The exit status of the run that the options ask for."""
    machine, engine, reason = build_machine(guests, options, root)
    with contextlib.ExitStack() as stack:
        if options.iso:
            raise Trouble("--iso: not yet")
        outputs = console.Outputs(machine.guest_names, _open_log(options.log))
        stack.callback(outputs.close)
        keyboard = stack.enter_context(console.Keyboard())
        if reason:
            outputs.note(reason)
        if keyboard.is_terminal:
            outputs.note("Ctrl-A x quits, Ctrl-A c goes to the monitor")
        session = Session(machine, engine, outputs, keyboard, root)
        return session.run(options.timeout)
