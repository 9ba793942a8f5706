# SPDX-License-Identifier: MIT
"""The fast boot: one RAM image that holds everything a multiboot kernel gets.

tools/optrom.asm is the other half and explains the file's layout: 32 slots of
128 KiB that are empty but for a mark at the start of each, then the boot
block, then the contents of kernel and modules. All addresses in it are final
but the memory map, which the option ROM fills in.
"""

import struct
from dataclasses import dataclass

from . import elf, images, sizes
from .trouble import Trouble

IMAGE_BASE = 16 * sizes.MIB
SLOT_BYTES = 128 * sizes.KIB
FIRST_SLOT = 32
BLOCK_ADDRESS = IMAGE_BASE + FIRST_SLOT * SLOT_BYTES
_MARK = 0x554D4200
_BLOCK_MAGIC = 0x31424D55
_BLOCK_BYTES = 24
_MAP_BYTES = 64 * 24
_PAGE = 4096

# Multiboot Specification 0.6.96, "Boot information format".
_INFO_BYTES = 120
_HAS_MEMORY, _HAS_COMMAND_LINE, _HAS_MODULES = 1 << 0, 1 << 2, 1 << 3
_HAS_MAP, _HAS_LOADER_NAME = 1 << 6, 1 << 9

# Where the option ROM keeps what we tell it, and where its checksum stands.
_ROM_PARAMETERS = 8
_ROM_IMAGE_BYTES_MAX = 2 * sizes.GIB


@dataclass(frozen=True)
class Layout:
    end: int  # address of the first byte after the image
    slots: int  # from the boot block on


class _Block:
    """Bytes at BLOCK_ADDRESS and up, handed out piece by piece."""

    def __init__(self):
        self._size = 0
        self._pieces = []

    def reserve(self, size, alignment=4):
        offset = sizes.round_up(self._size, alignment)
        self._size = offset + size
        return BLOCK_ADDRESS + offset

    def put(self, data, alignment=4):
        address = self.reserve(len(data), alignment)
        self._pieces.append((address, data))
        return address

    def put_at(self, address, data):
        self._pieces.append((address, data))

    def put_text(self, text):
        return self.put(text.encode() + b"\0")

    @property
    def end(self):
        return BLOCK_ADDRESS + self._size

    def write(self, file):
        """Leaves holes where there is nothing, so that they cost nothing."""
        for address, data in self._pieces:
            file.seek(address - IMAGE_BASE)
            file.write(data)
        file.truncate(self.end - IMAGE_BASE)


def write_image(machine, path):
    """Writes the RAM image for `machine`; the Layout it has in memory."""
    kernel = elf.read(images.read_file(machine.image, "Umbra's image"),
                      machine.image)
    block = _Block()
    head = block.reserve(_BLOCK_BYTES)
    info = block.reserve(_INFO_BYTES)
    memory_map = block.reserve(_MAP_BYTES)
    loads = _put_kernel(block, kernel)
    block.put_at(info, _info(block, machine))
    block.put_at(head, struct.pack("<IIIIII", _BLOCK_MAGIC, kernel.entry, info,
                                   memory_map, loads, len(kernel.segments)))
    if block.end > min(machine.memory, _ROM_IMAGE_BYTES_MAX):
        raise Trouble(
            f"the files need memory up to {sizes.show(block.end)}, the "
            f"machine has {sizes.show(machine.memory)}; set host.mem=")
    with open(path, "wb") as file:
        for slot in range(1, FIRST_SLOT):
            file.seek(slot * SLOT_BYTES)
            file.write(struct.pack("<I", _MARK + slot))
        block.write(file)
    slots = -(-(block.end - BLOCK_ADDRESS) // SLOT_BYTES)
    return Layout(block.end, slots)


def _put_kernel(block, kernel):
    """Kernel segments and the list that says where they go."""
    if kernel.bits != 32 or not kernel.segments:
        raise Trouble("Umbra's image is not a 32-bit ELF file; run make")
    if kernel.end > IMAGE_BASE:
        raise Trouble("Umbra's image reaches to "
                      f"{sizes.show(kernel.end)}, over the fast boot's data "
                      f"at {sizes.show(IMAGE_BASE)}; use --iso")
    entries = b""
    for segment in kernel.segments:
        source = block.put(segment.data)
        entries += struct.pack("<IIII", segment.address, source,
                               len(segment.data),
                               segment.size - len(segment.data))
    return block.put(entries)


def _info(block, machine):
    """The multiboot information; its texts and tables go into `block`."""
    command_line = block.put_text(machine.command_line)
    loader = block.put_text("Umbra fast boot")
    strings = [block.put_text(m.string) for m in machine.modules]
    table = block.reserve(16 * len(machine.modules))
    entries = b""
    for module, string in zip(machine.modules, strings):
        data = images.read_file(module.path, "module")
        start = block.put(data, _PAGE)
        entries += struct.pack("<IIII", start, start + len(data), string, 0)
    block.put_at(table, entries)
    info = bytearray(_INFO_BYTES)
    struct.pack_into("<I", info, 0, _HAS_MEMORY | _HAS_COMMAND_LINE
                     | _HAS_MODULES | _HAS_MAP | _HAS_LOADER_NAME)
    struct.pack_into("<III", info, 16, command_line, len(strings), table)
    struct.pack_into("<I", info, 64, loader)
    return bytes(info)


def option_rom(template, layout):
    """The option ROM for a RAM image with that layout."""
    rom = bytearray(template)
    struct.pack_into("<II", rom, _ROM_PARAMETERS, IMAGE_BASE, layout.slots)
    rom[-1] = 0
    rom[-1] = -sum(rom) % 256
    return bytes(rom)
