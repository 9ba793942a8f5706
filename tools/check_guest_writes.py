# SPDX-License-Identifier: MIT
"""Umbra writes guest memory through mm/guest_mem.h, and in no other way.

A store that goes past it would not be marked in the dirty log, and a migrated
guest would lack it. Pointers into guest memory are handed out const, which the
compiler guards. What is left is to make a pointer of one's own: from a frame
of the guest's, or from any host-physical address. Both are for few files, which
are named here with what they do there; a new user has to say so.
"""

import re

import check_layers

#: May ask which frames are behind a guest's pages.
FRAME_USERS = {
    "mm/guest_mem.c": "owns them",
    "arch/x86/ept/ept.c": "maps them for the guest",
    "arch/x86/vmx/vmcs02.c": "gives the CPU the pages that L1 named",
    "core/loopback.c": "reads them, writes those of its own copy",
}
FRAMES = re.compile(r"\b(guest_mem_frame|guest_mem_block)\s*\(|->blocks\b")

#: May turn host-physical addresses into pointers, and what lies there.
POINTER_USERS = {
    "mm/guest_mem.c": "guest memory: here it is marked",
    "mm/frame_alloc.c": "free frames",
    "mm/dirty_log.c": "the log's own bits",
    "arch/x86/ept/ept.c": "EPT tables",
    "arch/x86/ept/ept_track.c": "EPT tables",
    "arch/x86/ept/ept_walk.h": "EPT tables",
    "shadow/pool.c": "shadow tables and their lists",
    "shadow/shadow.c": "lists of leaves",
    "shadow/table.h": "shadow tables",
    "arch/x86/cpu/paging.c": "Umbra's page tables",
    "arch/x86/cpu/smp.c": "stacks, the trampoline",
    "arch/x86/cpu/apic.c": "registers",
    "arch/x86/vmx/vcpu.c": "a vCPU's own pages",
    "arch/x86/vmx/vcpu_apic.c": "a vCPU's own pages",
    "arch/x86/vmx/vcpu_sync.c": "a vCPU's PML page",
    "arch/x86/vmx/vmx_cpu.c": "VMXON regions, VMCSs",
    "arch/x86/vmx/mitigate.c": "a vCPU's MSR bitmap",
    "arch/x86/vmx/nested_vcpu.c": "a vCPU's record and pages for L2",
    "arch/x86/vmx/vmcs02.c": "MSR bitmaps",
    "arch/x86/vmx/vmcs_shadow.c": "the shadow VMCS and its bitmaps",
    "acpi/acpi.c": "the host's tables",
    "acpi/acpi_table.c": "the host's tables",
    "drivers/e1000.c": "registers, rings and buffers",
    "drivers/interrupts.c": "registers",
    "drivers/virtio.c": "registers and rings",
    "drivers/virtio_link.c": "buffers",
    "core/vm_make.c": "VM records",
    "core/loopback.c": "its copy of a guest's memory",
    "core/links.c": "the buffers of link.cut",
    "core/cables.c": "cables",
    "core/migration.c": "its buffers",
    "core/migration_source.c": "its notes of sent pages",
    "core/record_loop.c": "two state records",
    "core/machine.c": "registers",
    "loader/boot_info.c": "the loader's records",
    "loader/guest_load.c": "boot modules, for reading",
    "loader/guest_plan.c": "boot modules, for reading",
    "loader/linux.c": "boot modules, for reading",
    "loader/multiboot_guest.c": "boot modules, for reading",
}
POINTERS = re.compile(r"\b(phys_ptr\s*\(|phys_memory\b)")


def check_guest_writes(tree):
    for path in tree.ending(".c", ".h"):
        if not check_layers.floor_of(path):
            continue
        for number, line in tree.lines(path):
            if FRAMES.search(line) and path not in FRAME_USERS \
                    and not is_declaration(path, line):
                yield (f"{path}:{number}: asks for a guest's frames; "
                       "tools/check_guest_writes.py says who may")
            if POINTERS.search(line) and path not in POINTER_USERS \
                    and path != "mm/phys.h":
                yield (f"{path}:{number}: makes a pointer of an address; "
                       "tools/check_guest_writes.py says who may")


def is_declaration(path, line):
    return path == "mm/guest_mem.h" and line.startswith("MUST_CHECK")


CHECKS = {"guest-writes": check_guest_writes}
