# SPDX-License-Identifier: MIT
"""What VMX costs a guest hypervisor: guests/l1ticks.c, 2000 exits and 4096
pages."""

from .row import Row

TITLE = "Nested: a guest hypervisor and its guest, ticks each"
ORDER = 30

_GUEST = "build/guests/l1ticks.elf"

#: guests/l1ticks.c's name, what it is, KVM's ticks, KVM's exits at least, the
#: target.
_ROWS = (
    ("cpuid", "CPUID in L1", 993, 1, 150),
    ("exit_no_field", "L2 exit to L1 and back, no field touched", 15031, 2,
     1200),
    ("exit_cpuid", "L2 CPUID, L1 does 3 VMREAD and 1 VMWRITE", 15083, 2, 1500),
    ("exit_vmcall", "L2 VMCALL, the same", 15063, 2, None),
    ("exit_five_fields", "no field, plus five others", 18135, 4, None),
    ("exit_two_vmptrld", "no field, plus two VMPTRLD", 30558, 4, 3000),
    ("vmread_guest_rip", "VMREAD of guest RIP", 6, 0, None),
    ("vmwrite_guest_rip", "VMWRITE of guest RIP", 5, 0, None),
    ("vmread_host_rip", "VMREAD of host RIP", 1174, 1, 200),
    ("vmwrite_host_rip", "VMWRITE of host RIP", 1215, 1, 200),
    ("vmptrld", "VMPTRLD of the other of two", 7122, 1, 700),
    ("vmclear_other", "VMCLEAR of another", 2565, 1, 300),
    ("vmptrst", "VMPTRST", 2326, 1, None),
    ("invept", "INVEPT, nothing to drop", 2445, 1, 200),
    ("invvpid", "INVVPID, nothing to drop", 2409, 1, None),
    ("first_vmlaunch", "first VMLAUNCH of a VMCS", 585199, 2, 20000),
    ("cold", "L2 writes a page, shadow cold", 5788, 1, 500),
    ("cold_ad", "the same, with A/D bits", 4931, 1, 500),
    ("warm", "the same again", 4, 0, None),
    ("after_invept", "after INVEPT, EPT12 unchanged", 4, 0, 4.5),
    ("after_invept_ad", "the same, with A/D bits", 4, 0, 4.5),
    ("read_ad", "A/D bits: cold read", 4715, 1, None),
    ("write_ad", "A/D bits: then write", 4907, 1, None),
    ("violation", "L1 handles a violation and maps the page", 20766, 3, 2500),
    ("violation_ad", "the same, with A/D bits", 20947, 3, None),
    ("protect", "L1 protects, INVEPT, unprotects, INVEPT", None, None, None),
    ("after_protect", "after 64 of those, L2 writes a page", 4631, 1, 20),
    ("after_protect_ad", "the same, with A/D bits", 80, 1 / 64, 20),
    ("pml", "L1 logs L2 by PML, per page", 5161, 1, 500),
)

_ENLIGHTENED = "build/guests/l1evmcs.elf"
_BY_EVMCS = (
    ("vmcs_cpuid", "hyperv=on: L2 CPUID, L1 skips it by a VMCS"),
    ("evmcs_cpuid", "the same by an enlightened VMCS"),
    ("evmcs_no_field", "no field touched, all groups of fields clean"),
    ("evmcs_none_clean", "the same, and none clean"),
)


def measure(bench):
    bare = bench.run_bare("l1ticks", "n=2000", "pages=4096")
    run = bench.run(_GUEST, "--mem", "64M", "--append", "n=2000 pages=4096")
    for name, work, kvm, kvm_exits, target in _ROWS:
        cost = run.cost(name)
        yield Row(work, umbra=cost.ticks, limit=bare.cost(name).ticks, kvm=kvm,
                  target=target, **cost.counts(),
                  kvm_exits=None if kvm_exits is None
                  else kvm_exits * cost.times)
    for way, target in (("wp", 300), ("translate", 40)):
        logged = run if way == "wp" else bench.run(
            _GUEST, "--mem", "64M", "--append", "n=2000 pages=4096", "--set",
            "dirty.l2=translate")
        cost = logged.cost("log_write_ad")
        yield Row(f"L2 dirties a page under Umbra's log, {way}",
                  umbra=cost.ticks - logged.cost("log_again_ad").ticks,
                  limit=0, target=target, **cost.counts(),
                  note="net of L2's own instructions; KVM's nearest rows are "
                  "cold, 5788, and PML by L1, 5161")
    run = bench.run(_ENLIGHTENED, "--mem", "64M", "--append", "n=2000 ticks",
                    "--set", "hyperv=on")
    for name, work in _BY_EVMCS:
        yield Row(work, umbra=run.cost(name).ticks)
