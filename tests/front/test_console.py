# SPDX-License-Identifier: MIT
"""What comes out of a run and what goes in, without any machine."""

import contextlib
import os
import pty
import re
import selectors
import signal
import tempfile
import time
import unittest
from unittest import mock

import front
from umbra import console
from umbra.mux import BOOT, MONITOR, Text, guest_channel


class Captured:
    """A stand-in for sys.stdout or sys.stderr: what arrives in a file."""

    def __init__(self):
        self._file = tempfile.TemporaryFile("w+b")

    def fileno(self):
        return self._file.fileno()

    def flush(self):
        pass

    def getvalue(self):
        return os.pread(self.fileno(), 1 << 20, 0)


@contextlib.contextmanager
def captured():
    """Standard output and error, as bytes."""
    out, err = Captured(), Captured()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err


def feed(outputs, *texts):
    with captured() as (out, err):
        for channel, data in texts:
            outputs.text(Text(channel, data))
        outputs.close()
        return out.getvalue(), err.getvalue()


class Outputs(unittest.TestCase):
    def test_one_guest_is_passed_through_byte_by_byte(self):
        data = bytes(range(256))
        self.assertEqual(feed(console.Outputs(["a"]), (1, data)), (data, b""))

    def test_output_to_a_full_non_blocking_pipe_arrives_whole(self):
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        data = bytes(1 << 20)
        if os.fork() == 0:
            with open(write_end, "wb") as pipe:
                console.write(pipe, data)
            os._exit(0)
        os.close(write_end)
        with open(read_end, "rb") as pipe:
            self.assertEqual(pipe.read(), data)
        self.assertEqual(os.wait()[1], 0)

    def test_umbra_goes_to_standard_error(self):
        self.assertEqual(feed(console.Outputs(["a"]), (MONITOR, b"hi\n")),
                         (b"", b"hi\n"))

    def test_lines_of_several_guests_bear_their_names(self):
        out, _ = feed(console.Outputs(["a", "b"]), (1, b"one\r\nhal"),
                      (2, b"two\n"), (1, b"f\n"), (2, b"rest"))
        self.assertEqual(out, b"a| one\nb| two\na| half\nb| rest\n")

    def test_line_without_end_is_cut(self):
        out, _ = feed(console.Outputs(["a", "b"]), (1, b"x" * 5000))
        self.assertEqual(out, b"a| " + b"x" * 5000 + b"\n")
        outputs = console.Outputs(["a", "b"])
        with captured() as (stream, _):
            outputs.text(Text(1, b"x" * 5000))
            self.assertEqual(len(stream.getvalue()), 5004)

    def test_prompt_of_one_of_several_guests_is_shown_after_a_while(self):
        outputs = console.Outputs(["a", "b"])
        with captured() as (out, _):
            outputs.text(Text(1, b"login: "))
            outputs.tick()
            self.assertEqual(out.getvalue(), b"")
            time.sleep(console._PARTIAL_LINE_SECONDS)
            outputs.tick()
            self.assertEqual(out.getvalue(), b"a| login: \n")
            outputs.tick()
            outputs.text(Text(1, b"\r\nPassword"))
            self.assertEqual(out.getvalue(), b"a| login: \n")

    def test_line_that_goes_on_after_a_while_is_shown_whole(self):
        outputs = console.Outputs(["a", "b"])
        with captured() as (out, _):
            outputs.text(Text(1, b"RESULT PA"))
            time.sleep(console._PARTIAL_LINE_SECONDS)
            outputs.tick()
            outputs.text(Text(1, b"SS\n\nmore\n"))
            self.assertEqual(out.getvalue(),
                             b"a| RESULT PA\na| RESULT PASS\na| \na| more\n")

    def test_line_that_begins_again_shows_how_it_ends(self):
        outputs = console.Outputs(["a", "b"])
        with captured() as (out, _):
            outputs.text(Text(1, b"1 of 3\r2 of 3"))
            time.sleep(console._PARTIAL_LINE_SECONDS)
            outputs.tick()
            outputs.text(Text(1, b"\r      \r"))
            time.sleep(console._PARTIAL_LINE_SECONDS)
            outputs.tick()
            outputs.text(Text(1, b"all\r\n"))
            self.assertEqual(out.getvalue(), b"a| 2 of 3\na| all\n")

    def test_boot_loader_is_silent_until_asked_for(self):
        outputs = console.Outputs(["a"], boot_shown=False)
        with captured() as (_, err):
            outputs.text(Text(BOOT, b"\x1b[2J\x1b[01;01HWelcome\x07\r\n"))
            self.assertEqual(err.getvalue(), b"")
            outputs.show_boot()
            outputs.show_boot()
            self.assertEqual(err.getvalue(), b"Welcome\n")

    def test_umbras_first_words_are_told_from_the_boot_loaders(self):
        _, err = feed(console.Outputs(["a"], boot_shown=False),
                      (BOOT, b"\x1b[2JWelcome\r\numbra: 0.1\r\n"),
                      (MONITOR, b"umbra: memory\n"))
        self.assertEqual(err, b"umbra: 0.1\numbra: memory\n")

    def test_log_keeps_all_with_time_and_name(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "log")
            outputs = console.Outputs(["a"], console.Log(open(path, "wb")))
            feed(outputs, (BOOT, b"grub\n"), (MONITOR, b"start"), (1, b"x\ny"),
                 (MONITOR, b"ed\n"))
            with open(path, encoding="ascii") as file:
                lines = file.read().splitlines()
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} "
        for line in lines:
            self.assertRegex(line, stamp)
        self.assertEqual([re.sub(stamp, "", line) for line in lines],
                         ["boot| grub", "a| x", "umbra| started", "a| y"])


class Keys(unittest.TestCase):
    def setUp(self):
        self.keyboard = console.Keyboard()

    def keys(self, data):
        return list(self.keyboard.keys(data))

    def test_plain_keys_go_to_the_guest(self):
        self.assertEqual(self.keys(b"ls\x03\r"), [(1, b"ls\x03\r")])

    def test_doubled_ctrl_a_is_one(self):
        self.assertEqual(self.keys(b"a\x01\x01b"), [(1, b"a\x01b")])

    def test_ctrl_a_x_quits_even_in_two_pieces(self):
        self.keys(b"\x01")
        self.assertFalse(self.keyboard.quit)
        self.keys(b"x")
        self.assertTrue(self.keyboard.quit)

    def test_ctrl_a_c_changes_to_the_monitor_and_back(self):
        self.assertEqual(self.keys(b"a\x01cb\x01cc"),
                         [(1, b"a"), (MONITOR, b"b"), (1, b"c")])

    def test_ctrl_a_digit_selects_a_guest_to_which_c_returns(self):
        self.assertEqual(self.keys(b"\x012a\x01cb\x01cc"),
                         [(2, b"a"), (MONITOR, b"b"), (2, b"c")])
        self.assertEqual(self.keyboard.channel, guest_channel(1))

    def test_unknown_command_is_dropped(self):
        self.assertEqual(self.keys(b"\x01zq"), [(1, b"q")])


class NoKeys(unittest.TestCase):
    """A terminal at which nobody can type for this program."""

    def setUp(self):
        self.ours, theirs = pty.openpty()
        self.selector = selectors.PollSelector()
        self.addCleanup(self.selector.close)
        with open(theirs, encoding="ascii") as terminal, \
                mock.patch("sys.stdin", terminal):
            self.keyboard = console.Keyboard()
            self.keyboard.fd = os.dup(terminal.fileno())
        self.addCleanup(os.close, self.keyboard.fd)

    def watch(self, wanted=True):
        self.keyboard.watch(self.selector, wanted, self.keyboard.read)
        return len(self.selector.get_map())

    def test_in_the_background_none_are_looked_for(self):
        self.addCleanup(os.close, self.ours)
        with mock.patch("os.tcgetpgrp", return_value=os.getpgrp() + 1):
            with self.keyboard as keyboard:
                self.assertFalse(keyboard.is_terminal)
                self.assertEqual(self.watch(), 0)

    def test_a_terminal_that_hangs_up_is_the_end_of_them(self):
        with mock.patch("os.tcgetpgrp", return_value=os.getpgrp()):
            with self.keyboard as keyboard:
                self.assertTrue(keyboard.is_terminal)
                self.assertEqual(self.watch(), 1)
                self.assertEqual(self.watch(wanted=False), 0)
                self.assertEqual(self.watch(), 1)
                os.close(self.ours)
                self.assertEqual(keyboard.read(), [])
                self.assertFalse(keyboard.is_terminal)
                self.assertEqual(self.watch(), 0)


class Terminal(unittest.TestCase):
    """./umbra in the foreground of a terminal of its own."""

    def setUp(self):
        self.place = front.Place()
        self.addCleanup(self.place.close)

    def start(self, *play):
        words = [str(front.ROOT / "umbra"), "run", self.place.guest, "--engine",
                 "bochs", "--set", f"host.image={self.place.image}",
                 "--timeout", "15"]
        child, terminal = pty.fork()
        if child == 0:
            os.execve(words[0], words, self.place.environment(*play))
        self.addCleanup(os.close, terminal)
        self.addCleanup(self.kill, child)
        self.seen = b""
        return child, terminal

    def kill(self, child):
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def expect(self, terminal, words):
        while words not in self.seen:
            try:
                data = os.read(terminal, 4096)
            except OSError:
                data = b""
            if not data:
                self.fail(f"{words} did not come: {self.seen}")
            self.seen += data
        self.seen = self.seen.partition(words)[2]

    def status(self, child):
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    def test_keys_reach_guest_and_monitor_and_ctrl_a_x_quits(self):
        child, terminal = self.start(
            ["send", "\x1e!guest 0 name=g\n\x1e@ready\n"], ["hold", 3],
            ["send", "\x1eAgot it"], ["hold", 3], ["send", "\x1e@monitor"],
            ["sleep", 60])
        self.expect(terminal, b"ready")
        os.write(terminal, b"\x03")  # RS 'A' and a Ctrl-C that is the guest's
        self.expect(terminal, b"got it")
        os.write(terminal, b"\x01c")
        self.expect(terminal, b"keys go to monitor")
        os.write(terminal, b"?")  # RS '@' and this
        self.expect(terminal, b"monitor")
        os.write(terminal, b"\x01x")
        self.assertEqual(self.status(child), 0)
        self.assertEqual(self.place.left_over(), [])

    def test_keys_before_the_guest_is_there_wait_for_it(self):
        child, terminal = self.start(
            ["send", "\x1e@ready\n"], ["sleep", 0.3],
            ["send", "\x1e!guest 0 name=g\n"], ["hold", 4],
            ["send", "\x1e!end 0\n"], ["exit", 0])
        self.expect(terminal, b"Ctrl-A x quits")
        os.write(terminal, b"hi")
        self.assertEqual(self.status(child), 0)
