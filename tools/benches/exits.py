# SPDX-License-Identifier: MIT
"""What single operations cost a guest, with Umbra and without anything."""

from .machine import PLAIN
from .row import Row

TITLE = "Operations of a guest, ticks each"
ORDER = 10

#: guests/ticks.c's name, what it is, KVM's ticks, KVM's exits, the target.
_OPERATIONS = (
    ("cpuid", "CPUID", 993, 1, 150),
    ("vmcall", "VMCALL, refused", 800, 1, None),
    ("port_out", "OUT to a port", 1287, 1, None),
    ("port_in", "IN from a port", 1280, 1, None),
    ("pic_out", "OUT to the interrupt controller", 1287, 1, None),
    ("pic_in", "IN from the interrupt controller", 1280, 1, None),
    ("uart_status", "IN from the UART", 5037, 1, None),
    ("uart_out", "OUT of a byte to the UART", None, 1, None),
    ("nobody_in", "IN from a port that nobody has", None, 1, None),
    ("nobody_out", "OUT to such a port", None, 1, None),
    ("rdmsr_tsc_adjust", "RDMSR of TSC_ADJUST", 1114, 1, None),
    ("wrmsr_tsc_adjust", "WRMSR of TSC_ADJUST", 1668, 1, None),
    ("wbinvd", "WBINVD", 872, 1, None),
    ("toggle_cr0_wp", "CR0.WP changed", 3963, 1, None),
    ("cr8", "MOV to CR8", 10, 0, None),
    ("debug_register", "MOV to DR0", 10, 0, None),
    ("wrmsr_kernel_gs_base", "WRMSR of KERNEL_GS_BASE", 10, 0, None),
    ("page_fault", "a page fault of its own, handled", None, None, None),
    ("mmio_read", "a device's register read in memory", None, None, None),
    ("mmio_write", "the same written", None, None, None),
    ("apic_eoi", "EOI", None, None, None),
    ("self_ipi", "IPI to itself", 5492, None, None),
    ("self_ipi_sleeping", "IPI to itself, STI and HLT", 6623, None, None),
    ("timer", "TSC-deadline timer to its handler", 5119, None, None),
    ("uart_out_interrupts", "OUT to the UART, whose interrupt waits", None, 1,
     None),
    ("uart_interrupt", "the same to the next interrupt's handler", None, None,
     None),
)
_BETWEEN_CPUS = (
    ("ipi", "IPI to another CPU", 3929),
    ("ipi_to_sleeping", "IPI to a halted CPU", 4507),
)
#: What more a CPUID costs, and KVM's ticks for it.
_OTHERWISE = (
    ("CPUID, of a guest that is shown VMX", (), 993),
    ("CPUID, the same with mitigations", ("--set", "umbra.mitigations=auto"),
     1095),
)
_GUEST = "build/guests/ticks.elf"


def measure(bench):
    bare = bench.run_bare("ticks", "n=2000")
    run = bench.run(_GUEST, "--mem", "16M", "--append", "n=2000", *PLAIN)
    for name, work, kvm, kvm_exits, target in _OPERATIONS:
        cost, limit = run.cost(name), bare.find(name)
        yield Row(work, umbra=cost.ticks, limit=limit and limit.ticks,
                  kvm=kvm, target=target, **cost.counts(),
                  kvm_exits=kvm_exits and kvm_exits * cost.times)
    for work, options, kvm in _OTHERWISE:
        cost = bench.run(_GUEST, "--mem", "16M", *options).cost("cpuid")
        yield Row(work, umbra=cost.ticks, limit=bare.cost("cpuid").ticks,
                  kvm=kvm, kvm_exits=cost.times, **cost.counts())
    run = bench.run(_GUEST, "--mem", "16M", "--append", "n=500", "--cpus", 2,
                    *PLAIN)
    for name, work, kvm in _BETWEEN_CPUS:
        cost = run.cost(name)
        yield Row(work, umbra=cost.ticks, kvm=kvm, **cost.counts(),
                  note="two CPUs share the emulator: ticks of the machine, "
                  "while both work")
