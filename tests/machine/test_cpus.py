# SPDX-License-Identifier: MIT
"""CPUs of many ages, from Bochs' list: what Umbra says of each, that it runs
guests where it can, and refuses in words where it cannot. Firmware that keeps
VMX off is a patched copy of Bochs' BIOS."""

import os
import pathlib

from lib import Failure, check, machine_test
from talk import MONITOR

HELLO = "build/guests/hello.elf"
RING = "build/guests/ring.elf"
WRITE_PROTECTION = "dirty logging by write protection"


def refuses(machine, model, why):
    run = machine.run(HELLO, "--mem", "16M", "--set", f"host.cpu={model}")
    run.ended_with(125)
    run.said(f"^umbra: error: guests cannot run: {why}")
    run.said("^umbra: CPUs: 1 of 1 running")
    return run


def capabilities(run):
    """What the start-up lines say: {name: text after it}."""
    lines = {}
    for line in run.err.splitlines():
        name, colon, text = line.removeprefix("umbra: VMX: ").partition(": ")
        if line.startswith("umbra: VMX: ") and colon:
            lines[name] = text
    return lines


def has(run, **wanted):
    """Each capability is there, or its line says what is done without it."""
    lines = capabilities(run)
    for name, text in wanted.items():
        name = name.replace("_", " ")
        for line in lines:
            if line.replace("-", " ").replace(" and dirty", "") == name:
                check(lines[line] == text or lines[line].startswith(
                    f"{text}; "), f"{line}: {lines[line]}, not {text}")
                break
        else:
            raise Failure(f"no line for {name}")


@machine_test(seconds=2)
def cpu_of_another_maker_has_no_vmx(machine):
    run = refuses(machine, "ryzen", "this CPU has no VMX.*AMD Ryzen 7 1700")
    check(not capabilities(run), "it shows capabilities all the same")


@machine_test(seconds=2)
def monitor_works_without_vmx(machine):
    with machine.talk(HELLO, "--mem", "16M", "--set", "host.cpu=ryzen",
                      "--set", "umbra.exit=stay") as talk:
        talk.said('^umbra: no guest is running')
        talk.type(f"{MONITOR}cpus\r")
        talk.said("^umbra: CPU 0: APIC id 0, running, NMIs: 0$")


@machine_test(seconds=2)
def cpu_without_ept_is_refused(machine):
    run = refuses(machine, "core2_penryn_t9600",
                  "this CPU has VMX but no EPT.*T9600")
    has(run, EPT="no", unrestricted_guest="no", PML="no", VPID="no",
        preemption_timer="no")


@machine_test(seconds=2)
def cpu_without_unrestricted_guest_is_refused(machine):
    run = refuses(machine, "corei5_lynnfield_750", "a VMX control.*i5 CPU")
    run.said('^umbra: error: VMX: this CPU does not offer "unrestricted '
             'guest"$')
    has(run, EPT="yes", unrestricted_guest="no", EPT_2M_pages="yes",
        EPT_1G_pages="no", EPT_accessed_bits="no", PML="no", VPID="yes",
        preemption_timer="yes")


@machine_test(seconds=5)
def cpu_without_64_bits_is_told_apart(machine):
    run = machine.run(HELLO, "--mem", "16M", "--set", "host.cpu=pentium",
                      "--timeout", "4")
    run.ended_with(124)
    run.said("^umbra: this CPU has no 64-bit mode with NX; Umbra needs both")


def logs_by_write_protection(machine, model):
    """No PML: guests run, and their writes are tracked all the same."""
    run = machine.run(RING, "--append", "mb=1 laps=1000 mark=0", "--mem", "4M",
                      "--set", "loopback=4", "--set", "dirty=auto", "--set",
                      "host.ips=20000000", "--set", f"host.cpu={model}")
    run.ended_with(1)
    run.guest_verdict()
    run.said("^umbra: loopback: [1-9].*: memory is identical$")
    has(run, EPT="yes", unrestricted_guest="yes",
        PML=f"no; {WRITE_PROTECTION}", VPID="yes", EPT_accessed_bits="yes")
    return run


@machine_test(seconds=2)
def broadwell_logs_by_write_protection(machine):
    run = logs_by_write_protection(machine, "broadwell_ult")
    has(run, TSC_scaling="no", virtual_interrupt_delivery="yes")


@machine_test(seconds=2)
def cannon_lake_logs_by_write_protection(machine):
    run = logs_by_write_protection(machine, "corei3_cnl")
    has(run, TSC_scaling="yes", virtual_APIC="yes",
        virtual_interrupt_delivery="no")


@machine_test(seconds=2)
def pml_is_refused_where_there_is_none(machine):
    run = machine.run(RING, "--mem", "16M", "--set", "loopback=1", "--set",
                      "dirty=pml", "--set", "host.cpu=broadwell_ult")
    run.ended_with(125)
    run.said("dirty=pml: this CPU has no page-modification log; use dirty=wp")


@machine_test(seconds=2)
def every_capability_has_its_line(machine):
    run = machine.run(HELLO, "--mem", "16M")
    run.ended_with(1)
    has(run, EPT="yes", unrestricted_guest="yes", EPT_2M_pages="yes",
        EPT_1G_pages="yes", EPT_accessed_bits="yes", PML="yes", VPID="yes",
        preemption_timer="yes", TSC_scaling="yes", VMCS_shadowing="yes",
        virtual_APIC="yes", virtual_interrupt_delivery="yes",
        posted_interrupts="no")


def guest_sees(machine, host, model, *options):
    run = machine.run(HELLO, "--mem", "16M", "--set", f"host.cpu={host}",
                      *options)
    run.ended_with(1)
    run.guest_verdict()
    run.said(f"^umbra: guest hello starts: .* CPU model {model}$")


@machine_test(seconds=3)
def newest_cpu_model_that_the_host_carries_is_shown(machine):
    guest_sees(machine, "tigerlake", "icelake")
    guest_sees(machine, "corei7_skylake_x", "skylake")
    guest_sees(machine, "broadwell_ult", "haswell")


@machine_test(seconds=3)
def older_cpu_models_can_be_asked_for(machine):
    """Without AVX, and without XSAVE, whose registers are then switched
    another way."""
    guest_sees(machine, "tigerlake", "haswell", "--set", "cpu=haswell")
    guest_sees(machine, "tigerlake", "nehalem", "--set", "cpu=nehalem")
    guest_sees(machine, "tigerlake", "host", "--set", "cpu=host")


@machine_test(seconds=3)
def cpu_model_that_cannot_be_is_refused(machine):
    run = machine.run(HELLO, "--mem", "16M", "--set", "cpu=skylake", "--set",
                      "host.cpu=broadwell_ult")
    run.ended_with(125)
    run.said("^umbra: error: guest hello: cpu=skylake: this CPU lacks "
             "CLFLUSHOPT$")
    run = machine.run(HELLO, "--mem", "16M", "--set", "cpu=486")
    run.ended_with(125)
    run.said("cpu=486: there is no such model; docs/GUESTS.md lists them$")


# Bochs' BIOS does `or eax, 5`, then WRMSR to IA32_FEATURE_CONTROL, once for
# the first CPU and once for the others (SDM volume 3, "Discovering Support for
# VMX"): bit 0 locks it, bit 2 allows VMX.
BIOS_SETS = bytes.fromhex("0f32 6683c805 0f30"), bytes.fromhex("0f32 83c805 "
                                                               "0f30")


def with_firmware(machine, value):
    """BXSHARE with a BIOS that sets IA32_FEATURE_CONTROL to `value`."""
    share = pathlib.Path("/usr/share/bochs")
    for name in ("BIOS-bochs-latest", "VGABIOS-lgpl-latest"):
        data = (share / name).read_bytes()
        for code in BIOS_SETS if name.startswith("BIOS") else ():
            patched = code.replace(b"\xc8\x05", bytes((0xc8, value)))
            check(data.count(code) == 1, "this is another BIOS")
            data = data.replace(code, patched)
        (machine.folder / name).write_bytes(data)
    os.environ["BXSHARE"] = str(machine.folder)


@machine_test(seconds=2)
def firmware_that_has_locked_vmx_off_is_named(machine):
    with_firmware(machine, 1)
    run = refuses(machine, "tigerlake", "the firmware has disabled VMX and "
                  "locked it. Enable .*firmware setup")
    run.said("i5-1135G7")


@machine_test(seconds=2)
def vmx_that_the_firmware_left_open_is_switched_on(machine):
    with_firmware(machine, 0)
    run = machine.run(HELLO, "--mem", "16M", "--cpus", "2")
    run.ended_with(1)
    run.guest_verdict()
