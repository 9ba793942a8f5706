# SPDX-License-Identifier: MIT
"""`./umbra run` with Umbra itself: each way to boot, machines of all sizes,
what a user sees where guests cannot run."""

import os
import re
import select
import subprocess
import time

from lib import check, machine_test

HELLO = "build/guests/hello.elf"


def hello_runs(machine, *options, cpus=1):
    """The guest's status, verdict and CPUs are as they must be."""
    run = machine.run(HELLO, "--append", "exit=9", "--mem", "64M", "--cpus",
                      str(cpus), *options)
    run.ended_with(9 << 1 | 1)
    run.printed("^hypervisor UmbraUmbra$")
    run.printed(f"^cpus {cpus} of {cpus}$")
    run.guest_verdict()
    return run


@machine_test()
def status_of_the_guest_is_the_status_of_the_run(machine):
    run = hello_runs(machine)
    run.said("^umbra: .*hello has ended")


@machine_test()
def guest_has_two_cpus(machine):
    hello_runs(machine, cpus=2)


@machine_test(seconds=8)
def guest_has_four_cpus(machine):
    hello_runs(machine, cpus=4)


@machine_test()
def machine_has_256_mib(machine):
    hello_runs(machine, "--set", "host.mem=256M")


@machine_test(seconds=10)
def machine_has_3_gib(machine):
    hello_runs(machine, "--set", "host.mem=3G")


@machine_test()
def cd_boots_by_multiboot_2(machine):
    hello_runs(machine, "--iso")


@machine_test()
def cd_boots_by_multiboot_1(machine):
    hello_runs(machine, "--iso", "--set", "host.protocol=multiboot1")


@machine_test()
def two_guests_run_side_by_side(machine):
    run = machine.run(HELLO, "--guest", f"{HELLO}:exit=3", "--mem", "32M")
    run.printed(r"^hello\| RESULT PASS ")
    run.printed(r"^hello-2\| RESULT PASS ")
    run.said("hello has ended.* status 1$")
    run.said("hello-2 has ended.* status 7$")


@machine_test()
def module_reaches_its_guest(machine):
    run = hello_runs(machine, "--module", f"{HELLO}:text")
    run.printed("modules 1$")


@machine_test()
def log_keeps_both_sides_with_time_stamps(machine):
    log = machine.folder / "the log"
    hello_runs(machine, "--log", str(log))
    text = log.read_text()
    stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} "
    for line in (r"hello\| hello from a guest$", r"umbra\| .*has ended"):
        check(re.search(stamp + line, text, re.MULTILINE), f"no {line}")


def refuses_in_words(machine, *options):
    """No VMX: Umbra says so, and leaves when told to."""
    run = machine.run(HELLO, "--mem", "64M", *options)
    run.ended_with(125)
    run.said("^umbra: error: guests cannot run: this CPU has no VMX")
    return run


@machine_test(engine="qemu")
def qemu_without_vmx_is_explained(machine):
    refuses_in_words(machine)


@machine_test(engine="qemu")
def qemu_with_6_gib_shows_them_all(machine):
    run = refuses_in_words(machine, "--set", "host.mem=6G", "--cpus", "4")
    mib = int(run.said(r"^umbra: memory: (\d+) MiB")[1])
    check(6144 >= mib > 6100, f"{mib} MiB of 6 GiB")


@machine_test(engine="qemu")
def cd_boots_in_qemu(machine):
    refuses_in_words(machine, "--iso")


@machine_test(engine="qemu", seconds=8)
def cd_boots_under_uefi_by_multiboot_2(machine):
    refuses_in_words(machine, "--iso", "--set", "host.firmware=uefi")


@machine_test(engine="qemu", seconds=8)
def cd_boots_under_uefi_by_multiboot_1(machine):
    refuses_in_words(machine, "--iso", "--set", "host.firmware=uefi",
                     "--set", "host.protocol=multiboot1")


def read_until(stream, words, seconds):
    """What a pipe gives, up to those words; a Failure without them."""
    seen, end = b"", time.monotonic() + seconds
    while words not in seen:
        ready = select.select([stream], [], [], end - time.monotonic())[0]
        data = os.read(stream.fileno(), 4096) if ready else b""
        check(data, f"{words} did not come: {seen[-500:]}")
        seen += data
    return seen


@machine_test(engine="qemu", seconds=8)
def stick_that_make_builds_boots_to_the_monitor(machine):
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-display", "none", "-monitor", "none",
         "-no-reboot", "-m", "512", "-serial", "stdio", "-drive",
         "file=build/umbra.iso,format=raw,snapshot=on"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        seconds = machine.seconds_left()
        seen = read_until(process.stdout, b"umbra> ", seconds)
        check(b"umbra: Umbra " in seen, "Umbra has no first word")
        process.stdin.write(b"poweroff\r")
        process.stdin.flush()
        check(process.wait(seconds) == 0, "it did not switch off")
    finally:
        process.kill()
        process.wait()
