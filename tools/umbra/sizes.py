# SPDX-License-Identifier: MIT
"""Memory sizes as people write them: 512M, 2G, 65536K."""

import re

from .trouble import Trouble

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
_UNITS = {"": MIB, "k": KIB, "m": MIB, "g": GIB}


def parse(text, what):
    """Bytes for `text`; a bare number counts MiB, as QEMU's -m does."""
    match = re.fullmatch(r"(\d{1,12})([kKmMgG]?)(?:i?[bB])?", text)
    if not match:
        raise Trouble(f"{what}: '{text}' is no size; write 512M or 2G")
    size = int(match[1]) * _UNITS[match[2].lower()]
    if size == 0:
        raise Trouble(f"{what}: a size of 0 makes no sense; write 512M or 2G")
    return size


def show(size):
    """The shortest exact way to write `size`, else MiB rounded up."""
    if size % GIB == 0:
        return f"{size // GIB}G"
    if size % MIB == 0 or size > 16 * MIB:
        return f"{-(-size // MIB)}M"
    return f"{-(-size // KIB)}K"


def round_up(size, unit):
    return -(-size // unit) * unit
