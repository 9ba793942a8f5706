# SPDX-License-Identifier: MIT
"""What files are taken as guests, and what is said of the others."""

import pathlib
import random
import struct
import tempfile
import unittest

import front
from umbra import elf, images
from umbra.trouble import Trouble


class Recognition(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "the file"

    def recognise(self, data):
        self.path.write_bytes(data)
        return images.recognise(str(self.path))

    def refused(self, data, words):
        with self.assertRaises(Trouble) as caught:
            self.recognise(data)
        self.assertIn(words, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def test_multiboot1_elf32(self):
        image = self.recognise(front.elf32(b"code" + front.MB1_HEADER,
                                           zeros=4096))
        self.assertEqual((image.kind, image.bits), ("multiboot1", 32))
        self.assertEqual(image.memory_end, front.MIB + 4 + 12 + 4096)

    def test_multiboot1_elf64(self):
        image = self.recognise(front.elf64(front.MB1_HEADER))
        self.assertEqual((image.kind, image.bits), ("multiboot1", 64))

    def test_multiboot2_elf64(self):
        image = self.recognise(front.elf64(front.MB2_HEADER))
        self.assertEqual((image.kind, image.bits), ("multiboot2", 64))

    def test_header_of_either_kind_is_found_up_to_its_limit(self):
        for header, limit in ((front.MB1_HEADER, 8192),
                              (front.MB2_HEADER, 32768)):
            lead = bytes(limit - len(header) - 120)  # 120: the ELF headers
            self.recognise(front.elf64(lead + header))
            self.refused(front.elf64(lead + bytes(8) + header),
                         "an ELF kernel without a multiboot header")

    def test_header_with_bad_checksum_does_not_count(self):
        bad = front.MB1_HEADER[:-1] + b"\0"
        self.refused(front.elf32(bad), "without a multiboot header")

    def test_linux(self):
        image = self.recognise(front.bzimage())
        self.assertEqual((image.kind, image.memory_end),
                         ("bzImage", 3 * front.MIB))

    def test_linux_older_than_2_10_is_refused(self):
        self.refused(front.bzimage(version=0x203), "boot protocol 2.03")

    def test_linux_cut_short_is_refused(self):
        self.refused(front.bzimage()[:0x210], "ends too early")

    def test_elf_cut_short_is_refused(self):
        whole = front.elf32(front.MB1_HEADER + bytes(100))
        self.refused(whole[:-1], "ends too early")
        self.refused(front.elf32(b"")[:30], "ends too early")

    def test_elf_with_program_headers_far_away_is_refused(self):
        data = bytearray(front.elf32(front.MB1_HEADER))
        struct.pack_into("<I", data, 28, 0xFFFFFF00)
        self.refused(bytes(data), "ends too early")

    def test_program_for_another_machine_is_refused(self):
        data = bytearray(front.elf32(front.MB1_HEADER))
        struct.pack_into("<H", data, 18, 40)
        self.refused(bytes(data), "not for x86")

    def test_other_files_are_named(self):
        disk = bytearray(512)
        disk[510:] = b"\x55\xaa"
        cd = bytes(0x8001) + b"CD001"
        for data, words in ((b"", "an empty file"), (b"#!/bin/sh", "a script"),
                            (b"hello\n", "text"), (b"\x1f\x8b\x08", "gzip"),
                            (bytes(disk), "boot sector"), (cd, "a CD image"),
                            (b"070701", "--initrd"),
                            (b"\x01\x02\xff", "no known"),
                            (front.elf32(b"x", kind=1), "object file")):
            self.refused(data, words)

    def test_multiboot_kernel_that_is_no_elf_file_is_refused(self):
        header = struct.pack("<III", 0x1BADB002, 1 << 16,
                             -0x1BADB002 - (1 << 16) & 0xFFFFFFFF)
        self.refused(header + bytes(32), "ELF kernels only")

    def test_damaged_files_are_refused_and_nothing_worse(self):
        dice = random.Random(2)
        whole = front.elf64(front.MB1_HEADER + bytes(64))
        for _ in range(2000):
            data = bytearray(whole)
            for _ in range(dice.randrange(1, 6)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            try:
                self.recognise(bytes(data[:dice.randrange(len(data))]))
            except Trouble:
                pass

    def test_missing_file_and_folder_are_named(self):
        for path, words in (("/no/such", "no such file: /no/such"),
                            ("/", "/ is a directory")):
            with self.assertRaisesRegex(Trouble, words):
                images.recognise(path)

    def test_what_has_no_end_is_not_read(self):
        with self.assertRaisesRegex(Trouble, "a pipe or a device"):
            images.recognise("/dev/null")

    def test_image_that_is_no_elf_file_does_not_end_too_early(self):
        with self.assertRaisesRegex(Trouble, "^x: no ELF file$"):
            elf.read(b"text", "x")
