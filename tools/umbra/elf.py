# SPDX-License-Identifier: MIT
"""As much of ELF as a multiboot loader needs, 32 and 64 bit, x86."""

import struct
from dataclasses import dataclass

from .trouble import Trouble

MAGIC = b"\x7fELF"
_PT_LOAD = 1
_MACHINES = {3: "i386", 62: "x86-64"}
_TYPES = {1: "a relocatable object file", 3: "a shared object or PIE",
          4: "a core dump"}


@dataclass(frozen=True)
class Segment:
    address: int  # physical
    data: bytes
    size: int  # in memory; what exceeds the data is zero

    @property
    def end(self):
        return self.address + self.size


@dataclass(frozen=True)
class Elf:
    bits: int
    machine: str
    kind: int
    entry: int
    segments: tuple
    interpreted: bool

    @property
    def end(self):
        return max((s.end for s in self.segments), default=0)

    @property
    def not_a_kernel(self):
        """Why this cannot be a kernel, or None."""
        if self.interpreted:
            return "an ELF program for an operating system"
        return _TYPES.get(self.kind)


def read(data, name):
    """The ELF file whose whole content is `data`; Trouble if it is none."""
    if not data.startswith(MAGIC):
        raise Trouble(f"{name}: no ELF file")
    try:
        return _read(data, name)
    except (struct.error, IndexError, OverflowError):
        raise Trouble(f"{name}: an ELF file that ends too early") from None


def _read(data, name):
    bits = {1: 32, 2: 64}.get(data[4])
    machine = _MACHINES.get(struct.unpack_from("<H", data, 18)[0])
    if bits is None or data[5] != 1 or machine is None:
        raise Trouble(f"{name}: an ELF file, but not for x86")
    kind = struct.unpack_from("<H", data, 16)[0]
    if bits == 32:
        entry, offset = struct.unpack_from("<II", data, 24)
        entry_bytes, count = struct.unpack_from("<HH", data, 42)
    else:
        entry, offset = struct.unpack_from("<QQ", data, 24)
        entry_bytes, count = struct.unpack_from("<HH", data, 54)
    segments, interpreted = [], False
    for i in range(count):
        kind_of_segment, segment = _segment(data, bits,
                                            offset + i * entry_bytes, name)
        interpreted |= kind_of_segment == 3
        if kind_of_segment == _PT_LOAD and segment.size:
            segments.append(segment)
    return Elf(bits, machine, kind, entry, tuple(segments), interpreted)


def _segment(data, bits, at, name):
    if bits == 32:
        kind, offset, _, address, in_file, in_memory = struct.unpack_from(
            "<IIIIII", data, at)
    else:
        kind, _, offset, _, address, in_file, in_memory = struct.unpack_from(
            "<IIQQQQQ", data, at)
    if kind == _PT_LOAD and (offset + in_file > len(data)
                             or in_file > in_memory):
        raise Trouble(f"{name}: an ELF file that ends too early")
    return kind, Segment(address, data[offset:offset + in_file], in_memory)
