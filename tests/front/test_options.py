# SPDX-License-Identifier: MIT
"""What can be typed: what it makes, and one clear line where it is wrong."""

import contextlib
import io
import os
import pathlib
import tempfile
import unittest
from unittest import mock

import front
from umbra import bochs, cli, machine, qemu, run, sizes
from umbra.trouble import FAILED, Trouble

MIB = front.MIB


class Sizes(unittest.TestCase):
    def test_units(self):
        for text, size in (("512M", 512 * MIB), ("2G", 2 << 30),
                           ("64", 64 * MIB), ("4096k", 4 * MIB),
                           ("1GiB", 1 << 30), ("16mb", 16 * MIB)):
            self.assertEqual(sizes.parse(text, "--mem"), size)

    def test_nonsense_is_refused(self):
        for text in ("", "M", "12X", "-1M", "1.5G", "0", "0x10", "9" * 30):
            with self.assertRaises(Trouble):
                sizes.parse(text, "--mem")

    def test_what_is_shown_is_read_as_the_same(self):
        for size in (4096, 64 * MIB, 3 << 30, 513 * MIB):
            self.assertEqual(sizes.parse(sizes.show(size), ""), size)


class Options(unittest.TestCase):
    def setUp(self):
        self.place = front.Place()
        self.addCleanup(self.place.close)
        self.guest = self.place.guest

    def options(self, *words):
        return cli._parser().parse_args(
            ["run", self.guest, "--set", f"host.image={self.place.image}",
             *words])

    def machine(self, *words):
        options = self.options(*words)
        return run.build_machine(cli.collect_guests(options), options,
                                 str(front.ROOT), ["exit=bochs"])

    def refused(self, words, *arguments):
        with self.assertRaises(Trouble) as caught:
            self.machine(*arguments)
        self.assertIn(words, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    def test_defaults(self):
        made = self.machine()
        self.assertEqual([m.string for m in made.modules],
                         ["guest name=guest mem=524288K cpus=1 nested=on"])
        self.assertEqual(made.cpus, 1)
        self.assertEqual(made.command_line, "exit=bochs")
        self.assertGreaterEqual(made.memory, (512 + 64) * MIB)

    def test_each_guest_has_its_own_modules(self):
        made = self.machine("--append", "-v x=y", "--module",
                            f"{self.guest}:first", "--guest",
                            f"{self.guest}:quiet", "--initrd", self.guest,
                            "--module", self.guest)
        words = "mem=524288K cpus=1 nested=on"
        self.assertEqual([m.string for m in made.modules], [
            f"guest name=guest {words} -- -v x=y", "module -- first",
            f"guest name=guest-2 {words} -- quiet", "initrd", "module"])

    def test_settings_go_to_whom_they_are_for(self):
        made = self.machine("--set", "umbra.loglevel=debug", "--set", "a.b=c",
                            "--set", "host.mem=1G", "--set", "host.cpus=4",
                            "--set", "host.cpu=haswell", "--set",
                            "ips=2000000", "--cpus", "2", "--no-nested")
        self.assertEqual(made.command_line, "exit=bochs loglevel=debug")
        self.assertEqual(made.modules[0].string,
                         "guest name=guest mem=524288K cpus=2 nested=off a.b=c")
        self.assertEqual((made.memory, made.cpus, made.cpu_model, made.ips),
                         (1 << 30, 4, "haswell", 2_000_000))

    def test_guest_has_settings_of_its_own(self):
        made = self.machine("--its", "cpus=3", "--set", "hyperv=on", "--guest",
                            self.guest, "--its", "mem=64M", "--its",
                            "hyperv=off", "--its", "nested=off")
        self.assertEqual([m.string for m in made.modules], [
            "guest name=guest mem=524288K cpus=3 nested=on hyperv=on",
            "guest name=guest-2 mem=65536K cpus=1 nested=on hyperv=on "
            "hyperv=off nested=off"])
        self.assertEqual(made.cpus, 3)
        self.assertLess(made.memory,
                        self.machine("--guest", self.guest).memory)
        self.refused("256M is too little: 1 x 64M and 1 x 512M for guests",
                     "--guest", self.guest, "--its", "mem=64M", "--set",
                     "host.mem=256M")
        self.refused("--its cpus=65: must be a number from 1 to 64", "--its",
                     "cpus=65")
        self.refused("--its mem: 'x' is no size", "--its", "mem=x")
        self.refused("write KEY=VALUE", "--its", "mem")
        self.refused("one word", "--its", "a=b c")
        self.refused("write --set", "--its", "host.mem=1G")

    def test_module_string_may_hold_colons_and_so_may_the_file(self):
        path = self.place.write("a:b", b"x")
        self.assertEqual(machine.split_file(f"{path}:c:d", ""), (path, "c:d"))
        self.assertEqual(machine.split_file(path, ""), (path, ""))

    def test_memory_counts_guests_and_files(self):
        disk = self.place.write("disk", bytes(30 * MIB))
        small = self.machine().memory
        self.assertGreaterEqual(self.machine("--module", disk).memory,
                                small + 30 * MIB)
        self.assertGreaterEqual(self.machine("--guest", self.guest).memory,
                                small + 512 * MIB)

    def test_guest_name_is_one_plain_word(self):
        odd = self.place.write("my guest=\u00e4 (new).elf",
                               front.elf32(front.MB1_HEADER))
        made = self.machine("--guest", odd)
        self.assertIn(" name=my-guest-new ", made.modules[1].string)

    def test_missing_files_are_named(self):
        self.refused("--module: no such file: /no/such", "--module",
                     "/no/such:text")
        self.refused("--initrd: no such file: /no/such", "--initrd",
                     "/no/such")
        self.refused("--guest: no such file: /no", "--guest", "/no:x")

    def test_file_that_is_no_guest_is_named(self):
        text = self.place.write("notes", b"hello\n")
        self.refused("it seems to be text", "--guest", text)

    def test_bad_sizes_are_refused(self):
        self.refused("'lots' is no size", "--mem", "lots")
        self.refused("multiple of 4K", "--mem", "4097k")
        self.refused("host.mem: '5X'", "--set", "host.mem=5X")

    def test_too_little_memory_is_explained(self):
        large = self.place.write("large", front.elf32(front.MB1_HEADER,
                                                      zeros=100 * MIB))
        self.refused("needs at least 102M", "--guest", large, "--mem", "64M")
        self.refused("host.mem=256M is too little: 1 x 512M for guests",
                     "--set", "host.mem=256M")

    def test_bad_settings_are_refused(self):
        self.refused("write KEY=VALUE", "--set", "novalue")
        self.refused("write KEY=VALUE", "--set", "a b=c")
        self.refused("one word", "--set", "a=b c")
        self.refused("one word", "--set", "umbra.a=\udcff")
        self.refused("multiboot2 or multiboot1", "--set", "host.protocol=pxe")
        self.refused("host.cpsu: unknown", "--set", "host.cpsu=1")
        self.refused("host.cpus=0: must be a number from 1 up", "--set",
                     "host.cpus=0")
        self.refused("must be a number from 1000000 up", "--set", "ips=5")

    def test_numbers_say_what_they_may_be(self):
        self.refused("'65' is no number from 1 to 64", "--cpus", "65")
        self.refused("'1.5' is no number from 1 to 64", "--cpus", "1.5")
        for text in ("0", "nan", "inf", "soon", ""):
            self.refused(f"{text!r} is no number of seconds", "--timeout",
                         text)

    def test_name_that_is_empty_is_no_run_without_a_guest(self):
        self.guest = ""
        self.refused("no such file: ''")

    def test_image_that_is_none_is_named(self):
        self.refused("is a directory", "--set",
                     f"host.image={self.place.path}")

    def test_strings_are_one_printable_line_of_umbras_length(self):
        self.refused("one line", "--append", "a\nb")
        self.refused("one line", "--module", self.guest + ":a\tb")
        self.refused("over 1023 bytes", "--append", "x" * 1000)
        self.refused("longer than 2047", "--set", "umbra.x=" + "y" * 2048)

    def test_more_guests_or_files_than_umbra_takes_are_refused(self):
        self.refused("17 guests", *["--guest", self.guest] * 16)
        self.refused("65 files", *["--module", self.guest] * 64)

    def test_machine_that_bochs_cannot_give_is_refused(self):
        for words, text in ((("--cpus", "9"), "host.cpus=8"),
                            (("--mem", "4G"), "Bochs can use 3G")):
            with self.assertRaisesRegex(Trouble, text):
                bochs.check(self.machine(*words))

    def test_memory_that_bochs_would_lose_is_refused(self):
        for version, is_held in (("2.7", False), ("3.0.devel", True)):
            engine = self.place.write(
                "old-or-new",
                f"#!/bin/sh\necho Bochs x86 Emulator {version}\n".encode())
            os.chmod(engine, 0o755)
            with mock.patch.dict(os.environ, UMBRA_BOCHS=engine):
                bochs.check(self.machine("--mem", "1536M"))
                bochs.check(self.machine("--set", "host.mem=3G"))
                if is_held:
                    bochs.check(self.machine("--mem", "2G"))
                    continue
                with self.assertRaisesRegex(Trouble, "loses .* beyond 2G"):
                    bochs.check(self.machine("--mem", "2G"))


class CommandLine(unittest.TestCase):
    def said(self, *words):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            status = cli.main(list(words))
        return status, errors.getvalue()

    def test_wrong_arguments_cost_one_line_and_125(self):
        for words in (["run"], ["run", "x", "--cpus", "no"], ["fly"], [],
                      ["run", "x", "--timeout", "-1"], ["run", "x", "y"],
                      ["run", "x", "--engine", "vax"], ["run", "/no/such"],
                      ["iso"], ["iso", "-o", "/x", "--append", "y"]):
            status, text = self.said(*words)
            self.assertEqual(status, FAILED, words)
            self.assertRegex(text, r"\Aumbra: [^\n]+\n\Z", words)


class QemuCommand(unittest.TestCase):
    def test_names_and_strings_with_commas_and_blanks_arrive(self):
        place = front.Place()
        self.addCleanup(place.close)
        modules = [machine.Module(place.guest, "guest a=1,2 -- x, y")]
        made = machine.Machine(image=place.image, command_line="a b",
                               modules=modules, memory=256 * MIB, cpus=2)
        with tempfile.TemporaryDirectory() as folder:
            words = qemu.command(made, folder, 1234, None)
            initrd = words[words.index("-initrd") + 1]
            self.assertEqual(initrd, "m0 guest a=1,,2 -- x,, y")
            self.assertEqual(os.readlink(os.path.join(folder, "m0")),
                             place.guest)
            self.assertEqual(words[words.index("-append") + 1], "a b")

    def test_missing_engine_names_its_package(self):
        for engine, name, package in ((bochs, "UMBRA_BOCHS", "bochs"),
                                      (qemu, "UMBRA_QEMU", "qemu-system-x86")):
            with tempfile.TemporaryDirectory() as empty:
                before = dict(os.environ)
                os.environ.update({name: "no-such-engine", "PATH": empty})
                try:
                    with self.assertRaisesRegex(Trouble, package):
                        engine.program()
                finally:
                    os.environ.clear()
                    os.environ.update(before)


class Sources(unittest.TestCase):
    def test_limits_are_those_of_umbras_loader(self):
        root = pathlib.Path(front.ROOT)
        text = ((root / "loader/guest_plan.h").read_text()
                + (root / "loader/boot_info.h").read_text())
        for name, value in (("GUESTS_MAX", machine.GUESTS_MAX),
                            ("GUEST_CPUS_MAX", machine.GUEST_CPUS_MAX),
                            ("BOOT_MODULES_MAX", machine.MODULES_MAX),
                            ("BOOT_MODULE_TEXT_BYTES",
                             machine.STRING_BYTES_MAX + 1),
                            ("BOOT_COMMAND_LINE_BYTES",
                             machine.COMMAND_LINE_BYTES_MAX + 1)):
            self.assertRegex(text, rf"#define {name}\s+{value}\b")
