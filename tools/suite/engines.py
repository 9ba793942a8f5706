# SPDX-License-Identifier: MIT
"""What a machine test may ask for, and why this machine may not have it.

Bochs and QEMU are installed by set-up, so a test that needs them is never
skipped: without them it fails. Only special hardware may be absent.
"""

import pathlib


def why_not(engine):
    """Empty if the engine can be used here; else the reason, for a skip."""
    if engine in ("bochs", "qemu"):
        return ""
    if engine == "kvm":
        return why_no_kvm()
    raise ValueError(f"no engine is called {engine}")


def why_no_kvm():
    """QEMU with KVM needs an Intel host whose KVM offers VMX to its guests."""
    if not pathlib.Path("/dev/kvm").exists():
        return "needs /dev/kvm"
    nested = pathlib.Path("/sys/module/kvm_intel/parameters/nested")
    if not nested.exists():
        return "needs an Intel host (KVM here is not kvm_intel)"
    if nested.read_text().strip() not in ("Y", "1"):
        return "needs kvm_intel with nested=Y"
    return ""
