# SPDX-License-Identifier: MIT
"""Which emulator runs the machine.

An engine is a module with NAME, EXIT (Umbra's word for how it leaves), a
check(machine) that raises Trouble, a command(machine, directory, port, root)
that prepares `directory` and returns a command line whose first serial line
will connect to `port` on 127.0.0.1, and why_ended(status, directory) in words
for the user.
"""

from . import bochs, qemu

CHOICES = ("auto", "bochs", "qemu")


def choose(name):
    """The engine called `name`, and for auto a line that says why it."""
    if name == "bochs":
        return bochs, None
    if name == "qemu":
        return qemu, None
    reason = qemu.no_nested_vmx()
    if reason is None:
        return qemu, "engine qemu: KVM offers nested VMX here"
    return bochs, f"engine bochs: {reason}, and Bochs emulates VMX anywhere"
