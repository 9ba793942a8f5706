# SPDX-License-Identifier: MIT
"""What is written on a CD, and that it is the same each time."""

import errno
import os
import re
import subprocess
import time
import unittest
from unittest import mock

import front
from umbra import iso
from umbra.machine import Machine, Module
from umbra.trouble import Trouble


class Menu(unittest.TestCase):
    def menu(self, *strings, terminal=iso.Terminal.SERIAL):
        modules = [Module("file", string) for string in strings]
        machine = Machine(image="", command_line="console=mux a=b",
                          modules=modules, memory=0, cpus=1)
        return iso._menu(machine, str(front.ROOT), terminal)

    def test_both_protocols_get_options_and_modules(self):
        menu = self.menu("guest name=a -- -x y", "module -- z")
        for command, module in (("multiboot2", "module2"),
                                ("multiboot", "module")):
            self.assertRegex(
                menu, rf"\t{command} /boot/umbra.elf 'console=mux' 'a=b'\n"
                rf"\t{module} /boot/module0 'guest' 'name=a' '--' '-x' 'y'\n"
                rf"\t{module} /boot/module1 'module' '--' 'z'\n")

    def test_serial_line_of_a_run_is_left_alone(self):
        self.assertNotIn("serial", self.menu(terminal=iso.Terminal.NONE))
        self.assertIn("serial --unit=0", self.menu())

    def test_template_is_filled_in_and_its_comments_are_gone(self):
        self.assertNotRegex(self.menu("guest"), r"@|^#")

    def test_words_that_grub_would_change_are_refused(self):
        for word in ("it's", 'a "b"', "a\\b", "a  b", "x "):
            with self.assertRaisesRegex(Trouble, "GRUB cannot"):
                self.menu("guest -- " + word)

    def test_shell_characters_are_only_text(self):
        self.assertIn("'$x' ';' '{a}'", self.menu("guest -- $x ; {a}"))


class Dependencies(unittest.TestCase):
    def test_all_that_is_needed_comes_along_once(self):
        names = iso._with_dependencies("i386-pc", ["multiboot", "normal"])
        self.assertEqual(names, sorted(set(names)))
        for name in ("multiboot", "relocator", "mmap", "extcmd"):
            self.assertIn(name, names)


class Discs(unittest.TestCase):
    def setUp(self):
        self.place = front.Place()
        self.addCleanup(self.place.close)

    def make(self, name, *words, **environment):
        path = str(self.place.path / name)
        subprocess.run([str(front.ROOT / "umbra"), "iso", "-o", path, "--set",
                        f"host.image={self.place.image}", "--guest",
                        self.place.guest, *words], check=True, timeout=60,
                       env=dict(self.place.environment(), **environment))
        self.assertEqual(self.place.left_over(), [])
        with open(path, "rb") as file:
            return file.read()

    def test_two_discs_with_the_same_content_are_the_same(self):
        first = self.make("a disc.iso")
        time.sleep(2.1)  # FAT counts time in steps of two seconds
        os.utime(self.place.guest)
        mask = os.umask(0o077)
        try:
            second = self.make("another.iso", TZ="Asia/Tokyo")
        finally:
            os.umask(mask)
        self.assertEqual(first, second)
        self.assertLess(len(first), 2 * front.MIB)

    def test_discs_with_different_content_look_for_different_marks(self):
        def mark(data):
            return re.search(rb"/boot/[0-9a-f]{16}\.id", data)[0]

        self.assertNotEqual(mark(self.make("a")),
                            mark(self.make("b", "--append", "x")))

    def test_disc_that_cannot_be_written_is_one_line(self):
        done = subprocess.run(
            [str(front.ROOT / "umbra"), "iso", "-o", "/no/such/place", "--set",
             f"host.image={self.place.image}"], capture_output=True,
            env=self.place.environment(), check=False, timeout=60)
        self.assertEqual(done.returncode, 125)
        self.assertRegex(done.stderr.decode(),
                         r"\Aumbra: cannot write /no/such/place[^\n]*\n\Z")

    def test_half_a_disc_is_not_left(self):
        made = self.place.write("made", bytes(100))
        output = str(self.place.path / "new.iso")
        with mock.patch("shutil.copyfile") as copy:
            def half(_source, target):
                self.place.write(target, bytes(50))
                raise OSError(errno.ENOSPC, "No space left on device")

            copy.side_effect = half
            with self.assertRaisesRegex(Trouble, "new.iso: No space left"):
                iso._copy(made, output)
        self.assertFalse(os.path.exists(output))
