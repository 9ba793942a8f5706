# SPDX-License-Identifier: MIT
"""The command line: what can be typed, and what it calls."""

import argparse
import contextlib
import importlib
import os
import re
import sys

from . import machine as machines, migrate as migrations, run as runs
from .trouble import FAILED, Stopped, Trouble, leave_by_exception

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


_SET_HELP = """\
host.mem=SIZE host.cpus=N host.cpu=MODEL: the machine;
host.image=FILE: another build of Umbra;
host.firmware=bios|uefi host.protocol=multiboot2|multiboot1: how a CD boots;
host.ips=N host.sync=none|slowdown: how fast Bochs' clock is (with
host.ips=50000000 host.sync=slowdown seconds are real ones);
host.unknown_msrs=fault|ignored: what Bochs does with them;
umbra.KEY=VALUE: Umbra's command line;
anything else: a setting of each guest, such as hyperv=on"""


_RUN_EPILOG = """\
keys:    Ctrl-A x quits, Ctrl-A c changes between guest and Umbra's monitor,
         Ctrl-A 1..9 selects a guest, Ctrl-A Ctrl-A is one Ctrl-A
status:  v * 2 + 1 when the guest writes v to port 0xf4; 0 for a power-off or
         Ctrl-A x; 124 for --timeout; 125 when Umbra, the emulator or the
         command line is in trouble; 126 when Umbra had to stop the guest;
         128 + N for signal N"""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message):
        raise Trouble(f"{message}; {self.prog} --help explains")


class _NextGuest(argparse.Action):
    """--guest, --module, --initrd, --append and --its in the order given:
    they belong to the guest before them, at first to GUEST."""

    def __call__(self, parser, namespace, value, option=None):
        ordered = namespace.ordered or []
        namespace.ordered = ordered + [(self.dest, value)]


def _seconds(text):
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1e9:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


def _number_to(most):
    def number(text):
        if re.fullmatch(r"\d{1,6}", text) and 1 <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number from 1 to {most}")
    return number


def _add_guest_options(parser):
    def ordered(flag, metavar, text):
        parser.add_argument(flag, metavar=metavar, action=_NextGuest,
                            help=text)

    parser.set_defaults(ordered=None)
    ordered("--append", "STR", "command line of the guest")
    ordered("--module", "FILE[:STR]", "boot module of the guest, with a string")
    ordered("--initrd", "FILE", "initial RAM disk of a Linux guest")
    ordered("--guest", "FILE[:STR]", "a further guest, with a command line; "
            "--append, --module, --initrd and --its after it are its own")
    ordered("--its", "KEY=VALUE", "a setting of this guest alone: mem=64M, "
            "cpus=2, nested=off, or as --set has for all")
    parser.add_argument("--mem", default="512M", metavar="SIZE",
                        help="memory of each guest (512M)")
    parser.add_argument("--cpus", type=_number_to(machines.GUEST_CPUS_MAX),
                        default=1, metavar="N",
                        help="CPUs of each guest, and of the machine (1)")
    parser.add_argument("--no-nested", action="store_true",
                        help="guests see no VMX")
    parser.add_argument("--set", action="append", default=[],
                        metavar="KEY=VALUE", help=_SET_HELP)


_MIGRATE_EPILOG = """\
settings of the guest (--set): downtime=300ms (how long it may stand still at
most), audit=off|sent|full, compress=off|lz4|on (on: also as what has changed),
dirty=pml|wp|auto, dirty.l2=wp|translate (what its own guest writes),
stuck=fail|switch (what to do when it writes faster than the link carries),
reset=stop|restart (begin anew after a reset, also where it has moved to);
under Bochs a machine that waits for the other one sees much time pass
status:  as of umbra run, of the machine that has the guest at the end; 125
         also when it could not be migrated"""


def _add_migrate(commands):
    migrate = commands.add_parser(
        "migrate", help="move a running guest to a second machine",
        epilog=_MIGRATE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Starts two machines, runs a guest on one, and moves it to "
        "the other while it works.")
    migrate.add_argument("file", metavar="GUEST",
                         help="multiboot ELF kernel or Linux bzImage")
    _add_guest_options(migrate)
    migrate.add_argument("--link", choices=("net", "tcp", "uart", "virtio"),
                         help="what joins the machines (the best that the "
                         "engine has); tcp is another word for net")
    migrate.add_argument("--inside", action="store_true",
                         help="both machines are guests of a third Umbra, "
                         "which joins their virtio-serial ports")
    migrate.add_argument("--at", type=migrations.parse_at, default=2.0,
                         metavar="MARK|SECONDS", help="when: as soon as the "
                         "guest prints MARK, or after a time (2)")
    migrate.add_argument("--times", type=_number_to(1000), default=1,
                         metavar="N", help="then back again, and so on (1)")
    migrate.add_argument("--then", metavar="LINE", action="append",
                         default=[], help="typed at the guest's console after "
                         "the last migration; of several lines the last one, "
                         "the others after those before it")
    migrate.add_argument("--columns", action="store_true",
                         help="both machines' consoles side by side")
    migrate.add_argument("--report", metavar="FILE",
                         help="leave a page that shows what happened (HTML)")
    migrate.add_argument("--json", action="store_true",
                         help="the figures on standard output, and the guest's "
                         "console on standard error")
    migrate.add_argument("--engine", choices=("auto", "bochs", "qemu"),
                         default="auto", help="the emulator (auto)")
    migrate.add_argument("--timeout", type=_seconds, metavar="S",
                         help="end the run after S seconds, with status 124")
    migrate.add_argument("--log", metavar="FILE",
                         help="keep all consoles with time stamps")
    migrate.set_defaults(call=_migrate, iso=False)


def _migrate(options, _rest):
    return migrations.migrate(collect_guests(options), options, ROOT)


def _parser():
    parser = _Parser(prog="umbra", description="Runs guests on Umbra.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND",
                                     required=True)
    run = commands.add_parser(
        "run", help="run a guest", epilog=_RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs a guest. Its console is standard output, what Umbra "
        "says standard error.")
    run.add_argument("file", metavar="GUEST",
                     help="multiboot ELF kernel or Linux bzImage")
    _add_guest_options(run)
    run.add_argument("--engine", choices=("auto", "bochs", "qemu"),
                     default="auto", help="the emulator (auto)")
    run.add_argument("--timeout", type=_seconds, metavar="S",
                     help="end the run after S seconds, with status 124")
    run.add_argument("--log", metavar="FILE",
                     help="keep all consoles with time stamps")
    run.add_argument("--iso", action="store_true",
                     help="boot through GRUB from a CD, not directly")
    run.set_defaults(call=_run)
    _add_migrate(commands)
    iso = commands.add_parser(
        "iso", help="make a CD", description="Makes a CD for QEMU, real "
        "machines or a USB stick that boots Umbra with the given guests.")
    iso.add_argument("-o", "--output", required=True, metavar="FILE",
                     help="the file to write")
    _add_guest_options(iso)
    iso.set_defaults(call=_iso, file=None)
    for name, text in (("demo", "a hypervisor moves with its guest"),
                       ("test", "everything that needs no special hardware"),
                       ("bench", "the figures")):
        command = commands.add_parser(name, help=text, add_help=False)
        command.set_defaults(call=_tool(name))
    return parser


def collect_guests(options):
    """The guests of a command line, each with its own modules."""
    guests = [] if options.file is None else [machines.Guest(options.file)]
    for kind, value in options.ordered or []:
        if kind == "guest":
            guests.append(machines.Guest(*machines.split_file(value,
                                                              "--guest")))
            continue
        if not guests:
            raise Trouble(f"--{kind} comes after the --guest it belongs to")
        if kind == "append":
            guests[-1].command_line = value
        elif kind == "its":
            guests[-1].set(value)
        elif kind == "module":
            path, string = machines.split_file(value, "--module")
            guests[-1].extras.append(
                machines.extra_module(path, "module", string))
        else:
            guests[-1].extras.append(machines.extra_module(value, "initrd", ""))
    return guests


def _run(options, _rest):
    return runs.run(collect_guests(options), options, ROOT)


def _iso(options, _rest):
    runs.make_iso(collect_guests(options), options, ROOT)
    return 0


def _tool(name):
    def call(_options, rest):
        module = {"test": "testsuite"}.get(name, name)
        try:
            tool = importlib.import_module(module)
        except ModuleNotFoundError as missing:
            if missing.name != module:
                raise
            print(f"umbra: there is no {name} yet", file=sys.stderr)
            return 1
        return tool.main(rest)
    return call


def _open_standard_files():
    """What was closed when we began leads nowhere: else the next file that is
    opened would be taken for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w"))


def main(arguments):
    _open_standard_files()
    leave_by_exception()
    try:
        options, rest = _parser().parse_known_args(arguments)
        if rest and options.command not in ("demo", "test", "bench"):
            raise Trouble(f"unknown argument {rest[0]}; umbra "
                          f"{options.command} --help explains")
        return options.call(options, rest)
    except Trouble as trouble:
        print(f"umbra: {trouble}", file=sys.stderr)
        return trouble.status
    except Stopped as stopped:
        return stopped.status
    except BrokenPipeError:
        # Whoever read our output has left; nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"umbra: cannot go on: {where}{error.strerror}",
              file=sys.stderr)
        return FAILED
