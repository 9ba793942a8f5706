# SPDX-License-Identifier: MIT
"""`./umbra run` with Umbra itself: each way to boot, machines of all sizes,
what a user sees where guests cannot run."""

import os
import pathlib
import re
import select
import subprocess
import time

from lib import Run, check, machine_test
from talk import MONITOR

HELLO = "build/guests/hello.elf"


def hello_runs(machine, *options, cpus=1):
    """The guest's status, verdict and CPUs are as they must be."""
    run = machine.run(HELLO, "--append", "exit=9", "--mem", "64M", "--cpus",
                      str(cpus), *options)
    run.ended_with(9 << 1 | 1)
    run.printed("^hypervisor UmbraUmbra$")
    run.printed(f"^cpus {cpus} of {cpus}$")
    run.said(f"^umbra: CPUs: {cpus} of {cpus} running")
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


@machine_test(seconds=6)
def machine_has_1_gib(machine):
    run = hello_runs(machine, "--set", "host.mem=1G", "--set",
                     "host.ips=50000000")
    # The TSC is measured, not believed: here it is what host.ips says.
    mhz = float(run.said(r"^umbra: TSC: ([\d.]+) MHz")[1])
    check(49.9 < mhz < 50.1, f"{mhz} MHz")


@machine_test(seconds=10)
def machine_has_3_gib(machine):
    hello_runs(machine, "--set", "host.mem=3G")


@machine_test()
def cd_boots_by_multiboot_2(machine):
    hello_runs(machine, "--iso")


@machine_test()
def cd_boots_by_multiboot_1(machine):
    hello_runs(machine, "--iso", "--set", "host.protocol=multiboot1")


@machine_test(seconds=2)
def guest_that_does_not_fit_is_named(machine):
    """The front end refuses it before; this is Umbra's own refusal."""
    run = machine.run(HELLO, "--mem", "16M", "--set", "mem=300M", "--set",
                      "host.mem=128M", "--set", "host.ips=20000000")
    run.ended_with(125)
    run.said(r"^umbra: error: out of memory: hello wanted \d+ KiB \(")
    run.said("^umbra: error: guest hello is not started: out of memory$")


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
def memory_above_4_gib_is_used(machine):
    run = refuses_in_words(machine, "--set", "host.mem=6G", "--cpus", "4",
                           "--set", "umbra.loglevel=debug")
    mib, free = run.said(r"^umbra: memory: (\d+) MiB, (\d+) MiB free$"
                         ).groups()
    check(6144 >= int(mib) > 6100, f"{mib} MiB of 6 GiB")
    check(int(free) > 6000, f"only {free} MiB are free")
    run.said("^umbra: CPUs: 4 of 4 running")
    # The other CPUs are up and running on stacks that lie there.
    stacks = re.findall(r"^umbra: CPU [123] runs, .* stack below (0x\w+)$",
                        run.err, re.MULTILINE)
    check(len(stacks) == 3, f"stacks: {stacks}")
    check(all(int(stack, 16) > 1 << 32 for stack in stacks),
          f"stacks: {stacks}")


@machine_test(engine="qemu", seconds=2)
def machine_is_switched_off_by_acpi(machine):
    run = refuses_in_words(machine, "--set", "umbra.exit=acpi")
    run.never_said("does not stop|had no effect|do not say how")


@machine_test(seconds=2)
def bochs_is_switched_off_by_acpi(machine):
    run = hello_runs(machine, "--set", "umbra.exit=acpi")
    run.never_said("does not stop|had no effect|do not say how")


@machine_test(engine="qemu", seconds=2)
def machine_without_vmx_still_has_its_monitor(machine):
    with machine.talk(HELLO, "--mem", "64M", "--cpus", "2", "--set",
                      "umbra.exit=stay") as talk:
        talk.said('^umbra: no guest is running; "help" lists')
        talk.type(f"{MONITOR}cpus\r")
        talk.said("^umbra: CPU 0: APIC id 0, running, NMIs: 0$")
        talk.said("^umbra: CPU 1: APIC id 1, running, NMIs: 0$")
        talk.type("memory\r")
        talk.said(r"^umbra: \d+ of \d+ MiB free, largest block \d+ MiB$")
        talk.type("poweroff\r")
        run = Run.of(talk)
    run.ended_with(125)  # the guest could not be started
    run.said("^umbra: powering off$")
    run.never_said("had no effect|do not say how")


@machine_test(engine="qemu")
def cd_boots_in_qemu(machine):
    refuses_in_words(machine, "--iso")


@machine_test(engine="qemu")
def cd_boots_in_qemu_by_multiboot_1(machine):
    refuses_in_words(machine, "--iso", "--set", "host.protocol=multiboot1")


@machine_test(engine="qemu", seconds=8)
def cd_boots_under_uefi_by_multiboot_2(machine):
    refuses_in_words(machine, "--iso", "--set", "host.firmware=uefi")


@machine_test(engine="qemu", seconds=8)
def cd_boots_under_uefi_by_multiboot_1(machine):
    refuses_in_words(machine, "--iso", "--set", "host.firmware=uefi",
                     "--set", "host.protocol=multiboot1")


@machine_test(engine="qemu", seconds=2)
def power_off_at_the_monitor_is_no_trouble(machine):
    with machine.talk(HELLO, "--mem", "8M", "--set", "start=no") as talk:
        talk.said("^umbra: guest hello starts")
        talk.type(f"{MONITOR}  guests  \r")
        talk.said("^umbra: guest 0, hello: 8 MiB, not started$")
        talk.type("poweroff\r")
        run = Run.of(talk)
    run.ended_with(0)


@machine_test(engine="qemu", seconds=2)
def settings_that_no_guest_has_are_named(machine):
    run = machine.run(HELLO, "--mem", "8M", "--set", "start=no", "--its",
                      "loopbak=3", "--set", "dirty=magic", "--its",
                      "record.seed=7", "--timeout", 2)
    run.said("^umbra: warning: guest hello: loopbak=3 is no setting of a "
             "guest; it is ignored")
    run.said("^umbra: warning: guest hello: dirty=magic: it can be pml, wp or "
             "auto; it is auto$")
    run.never_said("start=no|record.seed")


def read_until(stream, words, seconds):
    """What a pipe gives, up to those words; a Failure without them."""
    seen, end = b"", time.monotonic() + seconds
    while words not in seen:
        ready = select.select([stream], [], [], end - time.monotonic())[0]
        data = os.read(stream.fileno(), 4096) if ready else b""
        check(data, f"{words} did not come: {seen[-500:]}")
        seen += data
    return seen


@machine_test(engine="qemu", seconds=2)
def person_at_the_line_reaches_the_monitor_past_a_guest(machine):
    """Without a front end what is typed is the guest's."""
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-display", "none", "-monitor", "none",
         "-no-reboot", "-m", "128", "-serial", "stdio", "-kernel",
         "build/umbra.elf", "-initrd",
         "build/guests/hello.elf guest mem=8M start=no"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def type_keys(keys):
        process.stdin.write(keys)
        process.stdin.flush()

    try:
        seconds = machine.seconds_left()
        read_until(process.stdout, b"guest hello starts", seconds)
        type_keys(b"cpus\r\x1e\x1e\x1e@memory\r")
        seen = read_until(process.stdout, b"largest block", seconds)
        check(b"umbra> memory" in seen and b"CPU 0:" not in seen,
              f"the keys went elsewhere: {seen}")
        type_keys(b"\x1eAcpus\r\x1e@poweroff\r")
        seen = read_until(process.stdout, b"powering off", seconds)
        check(b"CPU 0:" not in seen, f"the guest's keys went here: {seen}")
        check(process.wait(seconds) == 0, "it did not switch off")
    finally:
        process.kill()
        process.wait()


@machine_test(engine="qemu", seconds=2)
def control_registers_of_the_firmware_do_not_stay(machine):
    """A loader that came from 64 bits may leave CR4.LA57 set: four levels of
    page tables would be taken for five."""
    # A socket's name has room for 107 characters.
    gate = pathlib.Path(os.path.relpath(machine.folder / "gdb"))
    said = machine.folder / "said"
    qemu = subprocess.Popen(
        ["qemu-system-x86_64", "-display", "none", "-monitor", "none",
         "-no-reboot", "-m", "128", "-cpu", "max", "-serial",
         "stdio", "-kernel", "build/umbra.elf", "-S", "-gdb",
         f"unix:{gate},server=on,wait=off"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        seconds = machine.seconds_left()
        while not gate.exists():
            time.sleep(0.02)
        subprocess.run(
            ["gdb", "-batch", "-nx", "-ex", f"target remote {gate}", "-ex",
             "hbreak *&boot_start", "-ex", "continue", "-ex",
             "set $cr4 = $cr4 | 0x1000", "-ex", "print/x $cr4", "-ex", "detach",
             "build/umbra.elf64"],
            stdin=subprocess.DEVNULL, stdout=said.open("w"),
            timeout=seconds, check=True)
        check("= 0x1000" in said.read_text(), said.read_text())
        read_until(qemu.stdout, b"umbra> ", machine.seconds_left())
    finally:
        qemu.kill()
        qemu.wait()


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
