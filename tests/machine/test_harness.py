# SPDX-License-Identifier: MIT
"""The harness itself: what the front end gives a kernel arrives, from each
engine and each way to boot. A stub stands in for Umbra (stub.c)."""

import subprocess
import sys
import zlib

from lib import ROOT, check, machine_test

sys.path.insert(0, str(ROOT / "tools"))

from umbra import fastboot
from umbra.machine import Machine, Module

STUB = "build/stub.elf"
IMAGE = ("--set", f"host.image={STUB}")


def pattern(size):
    """Bytes of which no two pages are the same."""
    return b"".join(i.to_bytes(8, "little") for i in range(size // 8 + 1)
                    )[:size]


def all_arrives(machine, *options):
    """The stub shows what it was given; this looks for it."""
    large = machine.folder / "a, large module:1"
    data = pattern(1_200_003)
    large.write_bytes(data)
    run = machine.run(STUB, *IMAGE, "--append", "a=b -- c", "--module",
                      f"{large}:one, two", "--initrd", large, "--mem", "128M",
                      "--set", "umbra.status=37", *options)
    run.ended_with(37)
    run.printed("^hello from the stub$")
    run.said("^bss is clear$")
    run.said("^stub .* command line=(umbra )?console=mux exit=.* status=37$")
    run.said("^module 0 .* string=(m0 )?guest name=stub mem=131072K cpus=1 "
             "nested=on -- a=b -- c$")
    digest = f"bytes={len(data)} adler32={zlib.adler32(data):x}"
    run.said(f"^module 1 {digest} string=(m1 )?module -- one, two$")
    run.said(f"^module 2 {digest} string=(m2 )?initrd$")
    return run


def upper_kib(run):
    return int(run.said(r"^memory lower=\d+ upper=(\d+) ")[1])


@machine_test()
def fast_boot_in_bochs_delivers_all(machine):
    all_arrives(machine)


@machine_test(engine="qemu")
def fast_boot_in_qemu_delivers_all(machine):
    all_arrives(machine)


@machine_test()
def cd_in_bochs_delivers_all(machine):
    all_arrives(machine, "--iso", "--set", "host.protocol=multiboot1")


@machine_test(engine="qemu")
def cd_in_qemu_delivers_all(machine):
    all_arrives(machine, "--iso", "--set", "host.protocol=multiboot1")


@machine_test(engine="qemu", seconds=8)
def cd_under_uefi_delivers_all(machine):
    all_arrives(machine, "--iso", "--set", "host.protocol=multiboot1", "--set",
                "host.firmware=uefi")


@machine_test(seconds=3)
def bochs_has_the_memory_that_was_asked_for(machine):
    run = all_arrives(machine, "--set", "host.mem=256M")
    check(255 << 10 >= upper_kib(run) > 254 << 10, "not 256M")


@machine_test(seconds=12)
def bochs_boots_fast_with_3_gib(machine):
    run = all_arrives(machine, "--set", "host.mem=3G")
    check(upper_kib(run) > 3000 << 10, "not 3G")


@machine_test(engine="qemu")
def qemu_has_more_than_4_gib(machine):
    all_arrives(machine, "--set", "host.mem=6G")


@machine_test(engine="qemu", seconds=2)
def fast_boot_finds_an_image_that_lies_in_place(machine):
    """As later versions of Bochs load it; here QEMU's loader device does."""
    described = Machine(image=STUB, command_line="exit=qemu status=5",
                        modules=[Module(STUB, "guest x")], memory=256 << 20,
                        cpus=1)
    ram, rom = machine.folder / "ram", machine.folder / "rom"
    layout = fastboot.write_image(described, ram)
    # Without a VGA BIOS SeaBIOS puts the first option ROM here.
    subprocess.run(["nasm", "-f", "bin", "-dROM_ADDRESS=0xc0000", "-o", rom,
                    "tools/optrom.asm"], check=True)
    rom.write_bytes(fastboot.option_rom(rom.read_bytes(), layout))
    run = machine.command(
        "timeout", "20", "qemu-system-x86_64", "-nodefaults", "-display",
        "none", "-no-reboot", "-m", "256", "-serial", "stdio", "-device",
        "isa-debug-exit,iobase=0xf4,iosize=4", "-option-rom", rom, "-device",
        f"loader,file={ram},addr={fastboot.IMAGE_BASE:#x},force-raw=on")
    run.printed("^module 0 bytes=.* string=guest x$")
    run.printed("!end 5$")


@machine_test(seconds=2)
def kernel_in_bochs_hears_and_answers(machine):
    run = machine.run(STUB, *IMAGE, "--set", "umbra.stub=echo",
                      stdin="abc\x1e\nq")
    run.ended_with(0)
    run.printed("^abc\x1e\nq$")


@machine_test(engine="qemu", seconds=2)
def kernel_in_qemu_hears_and_answers(machine):
    run = machine.run(STUB, *IMAGE, "--set", "umbra.stub=echo",
                      stdin="abc\x1e\nq")
    run.ended_with(0)
    run.printed("^abc\x1e\nq$")


@machine_test(seconds=2)
def triple_fault_in_bochs_is_named(machine):
    run = machine.run(STUB, *IMAGE, "--set", "umbra.stub=fault")
    run.ended_with(125)
    run.said("without a verdict: bochs stopped at a triple fault")


@machine_test(engine="qemu", seconds=2)
def triple_fault_in_qemu_is_named(machine):
    run = machine.run(STUB, *IMAGE, "--set", "umbra.stub=fault")
    run.ended_with(125)
    run.said("without a verdict: qemu stopped at a triple fault")


@machine_test(seconds=2)
def unknown_cpu_model_is_named(machine):
    run = machine.run(STUB, *IMAGE, "--set", "host.cpu=abacus")
    run.ended_with(125)
    run.said("abacus")


@machine_test(seconds=6)
def four_machines_run_side_by_side(machine):
    runs = [subprocess.Popen(["./umbra", "run", STUB, *IMAGE, "--engine",
                              "bochs", "--timeout", "40", "--set",
                              f"umbra.status={i}"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE) for i in range(4)]
    for i, run in enumerate(runs):
        out, err = run.communicate()
        check(run.returncode == i, f"run {i}: {run.returncode}, {err}")
        check(out == b"hello from the stub\n", f"run {i} printed {out}")
