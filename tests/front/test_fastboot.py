# SPDX-License-Identifier: MIT
"""The RAM image and option ROM of the fast boot."""

import pathlib
import struct
import tempfile
import unittest

import front
from umbra import fastboot
from umbra.machine import Machine, Module
from umbra.trouble import Trouble


def text_at(ram, address):
    at = address - fastboot.IMAGE_BASE
    return ram[at:ram.index(b"\0", at)].decode()


class RamImage(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.kernel = b"kernel code" * 100

    def write(self, name, data):
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def make(self, kernel=None, modules=(), memory=256 * front.MIB):
        kernel = kernel or front.elf32(self.kernel, zeros=5000, entry=0x100040)
        machine = Machine(image=self.write("umbra", kernel),
                          command_line="console=mux \u00e4",
                          modules=[Module(self.write(f"m{i}", data), string)
                                   for i, (data, string) in enumerate(modules)],
                          memory=memory, cpus=1)
        layout = fastboot.write_image(machine, str(self.folder / "ram"))
        return layout, (self.folder / "ram").read_bytes()

    def block(self, ram):
        return struct.unpack_from(
            "<IIIIII", ram, fastboot.BLOCK_ADDRESS - fastboot.IMAGE_BASE)

    def test_every_slot_before_the_block_bears_its_mark(self):
        _, ram = self.make()
        for slot in range(1, fastboot.FIRST_SLOT):
            mark, = struct.unpack_from("<I", ram, slot * fastboot.SLOT_BYTES)
            self.assertEqual(mark, 0x554D4200 + slot)
        self.assertEqual(ram[:4], bytes(4))

    def test_block_names_entry_and_kernel(self):
        _, ram = self.make()
        magic, entry, _, _, loads, count = self.block(ram)
        self.assertEqual((magic, entry, count), (0x31424D55, 0x100040, 1))
        to, source, size, zeros = struct.unpack_from(
            "<IIII", ram, loads - fastboot.IMAGE_BASE)
        self.assertEqual((to, zeros), (front.MIB, 5000))
        at = source - fastboot.IMAGE_BASE
        self.assertEqual(ram[at:at + size], self.kernel)

    def test_information_names_command_line_and_modules(self):
        contents = [(b"one", "guest name=a"), (b"", "module -- empty"),
                    (bytes(range(256)) * 2000, "initrd")]
        layout, ram = self.make(modules=contents)
        info = self.block(ram)[2] - fastboot.IMAGE_BASE
        flags, _, _, _, line, count, table = struct.unpack_from("<7I", ram,
                                                                info)
        self.assertEqual(flags & 0b1001101, 0b1001101)
        self.assertEqual(text_at(ram, line), "console=mux \u00e4")
        self.assertEqual(count, 3)
        for i, (data, string) in enumerate(contents):
            start, end, text, _ = struct.unpack_from(
                "<IIII", ram, table - fastboot.IMAGE_BASE + 16 * i)
            self.assertEqual(start % 4096, 0)
            self.assertEqual(ram[start - fastboot.IMAGE_BASE:
                                 end - fastboot.IMAGE_BASE], data)
            self.assertEqual(text_at(ram, text), string)
        self.assertEqual(layout.end, fastboot.IMAGE_BASE + len(ram))

    def test_memory_map_has_room_for_64_entries(self):
        _, ram = self.make()
        _, _, info, table, loads, _ = self.block(ram)
        others = [info, loads, len(ram) + fastboot.IMAGE_BASE]
        self.assertTrue(all(not table <= at < table + 64 * 24
                            for at in others))
        at = table - fastboot.IMAGE_BASE
        self.assertEqual(ram[at:at + 64 * 24], bytes(64 * 24))

    def test_slots_cover_the_whole_image(self):
        for size in (0, 1, 128 * 1024, 3 * front.MIB + 1):
            layout, ram = self.make(modules=[(bytes(size), "guest")])
            used = len(ram) - fastboot.FIRST_SLOT * fastboot.SLOT_BYTES
            self.assertEqual(layout.slots, -(-used // fastboot.SLOT_BYTES))

    def test_kernel_that_reaches_into_the_image_is_refused(self):
        with self.assertRaisesRegex(Trouble, "use --iso"):
            self.make(kernel=front.elf32(b"x", zeros=15 * front.MIB))

    def test_kernel_of_64_bits_is_refused(self):
        with self.assertRaisesRegex(Trouble, "not a 32-bit ELF"):
            self.make(kernel=front.elf64(b"x"))

    def test_files_beyond_the_memory_are_refused(self):
        with self.assertRaisesRegex(Trouble, "host.mem="):
            self.make(modules=[(bytes(12 * front.MIB), "guest")],
                      memory=32 * front.MIB)


class OptionRom(unittest.TestCase):
    def test_rom_of_any_layout_sums_to_zero(self):
        template = (front.ROOT / "build/optrom.bin").read_bytes()
        self.assertEqual(template[:3], b"\x55\xaa" + bytes((
            len(template) // 512,)))
        for slots in (1, 77, 12345):
            rom = fastboot.option_rom(template, fastboot.Layout(0, slots))
            self.assertEqual(sum(rom) % 256, 0)
            self.assertEqual(struct.unpack_from("<II", rom, 8),
                             (fastboot.IMAGE_BASE, slots))

    def test_rom_and_front_end_agree_on_the_numbers(self):
        source = (front.ROOT / "tools/optrom.asm").read_text()
        for name, value in (("FIRST_SLOT", fastboot.FIRST_SLOT),
                            ("SLOT_BYTES", fastboot.SLOT_BYTES)):
            self.assertRegex(source, rf"%define {name}\s+"
                             rf"({value}|{value:#x})\b")
