# SPDX-License-Identifier: MIT
"""tools/setup.sh on machines that lack one tool, with apt-get played by a
script: what it asks for, when it gives up, and what it says then."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

#: What the script itself calls, and all commands that it looks for.
ITS_TOOLS = ("bash", "cat", "sort", "env", "mktemp", "tail", "rm", "sh",
             "true", "touch", "ln")
LOOKED_FOR = ("gcc", "ld", "make", "python3", "nasm", "grub-mkrescue",
              "xorriso", "mformat", "bochs-bin", "bxhub",
              "qemu-system-x86_64", "git", "clang", "clang-format",
              "clang-tidy", "cppcheck", "iasl", "spin", "gdb")

#: Installs by making the missing command appear, once lists are there.
APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$CALLS"
case " $* " in
*" update "*) touch "$LISTS" ;;
*" install "*) [ -e "$LISTS" ] && {installs} ;;
esac
"""

APT_CACHE = """#!/bin/sh
[ -e "$LISTS" ]
"""


class Setup(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.tools = self.folder / "tools"
        self.tools.mkdir()
        self.calls = self.folder / "calls"
        self.lists = self.folder / "lists"
        for name in ITS_TOOLS + LOOKED_FOR:
            target = shutil.which(name)
            self.assertTrue(target, f"this machine has no {name}")
            (self.tools / name).symlink_to(target)

    def script(self, name, text):
        path = self.tools / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def user(self, number):
        self.script("id", f"#!/bin/sh\necho {number}\n")

    def apt(self, installs):
        self.script("apt-get", APT_GET.format(installs=installs))
        self.script("apt-cache", APT_CACHE)

    def run_setup(self, *words):
        return subprocess.run([self.tools / "bash", "tools/setup.sh", *words],
                              cwd=ROOT, text=True, check=False,
                              env={"PATH": str(self.tools),
                                   "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
                                   "CALLS": str(self.calls),
                                   "LISTS": str(self.lists)},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def lose(self, name):
        (self.tools / name).unlink()

    def all_calls(self):
        return self.calls.read_text().splitlines()

    def test_nothing_missing_is_quick_and_silent(self):
        start = time.monotonic()
        done = self.run_setup()
        self.assertLess(time.monotonic() - start, 0.3)
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (0, "", ""))

    def test_without_apt_one_line_names_the_packages(self):
        self.user(0)
        self.lose("nasm")
        self.lose("bochs-bin")
        done = self.run_setup()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "setup: please install these Debian "
                         "packages: bochs bochs-term nasm\n")

    def test_without_root_or_sudo_one_line_names_the_packages(self):
        self.user(1000)
        self.apt("true")
        self.lose("nasm")
        done = self.run_setup()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "setup: please install these Debian "
                         "packages: nasm\n")
        self.assertFalse(self.calls.exists())

    def test_sudo_without_a_password_will_do(self):
        self.user(1000)
        self.script("sudo", "#!/bin/sh\nshift\nexec \"$@\"\n")
        self.test_lists_are_fetched_when_there_are_none(user=1000)

    def test_lists_are_fetched_when_there_are_none(self, user=0):
        self.user(user)
        self.apt(f"ln -s true {self.tools}/nasm; : ")
        self.lose("nasm")
        done = self.run_setup()
        self.assertEqual((done.returncode, done.stderr),
                         (0, "setup: installing nasm "
                          "(this may take minutes)\n"))
        self.assertIn(" update", self.all_calls()[0])
        self.assertRegex(self.all_calls()[1], r" install .*\bnasm$")
        self.assertEqual(self.run_setup().stderr, "")

    def test_group_leaves_the_others_alone(self):
        self.user(0)
        self.lose("spin")
        self.assertEqual(self.run_setup("build").returncode, 0)
        self.assertEqual(self.run_setup("--missing").stdout, "spin\n")

    def test_failing_apt_is_shown(self):
        self.user(0)
        self.lists.touch()
        self.apt("{ echo no such luck; exit 100; }")
        self.lose("nasm")
        done = self.run_setup()
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such luck", done.stderr)
        self.assertIn("please install: nasm", done.stderr)

    def test_package_without_what_was_missing_is_told(self):
        self.user(0)
        self.lists.touch()
        self.apt("true")
        self.lose("nasm")
        done = self.run_setup()
        self.assertEqual(done.returncode, 1)
        self.assertIn("installed, yet not found", done.stderr)
