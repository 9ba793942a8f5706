# SPDX-License-Identifier: MIT
"""What a machine test may ask for, and why this machine may not have it.

Bochs and QEMU are installed by set-up, so a test that needs them is never
skipped: without them it fails. Only special hardware may be absent.
"""

from umbra import qemu


def why_not(engine):
    """Empty if the engine can be used here; else the reason, for a skip."""
    if engine in ("bochs", "qemu"):
        return ""
    if engine == "kvm":
        return qemu.no_nested_vmx() or ""
    raise ValueError(f"no engine is called {engine}")
