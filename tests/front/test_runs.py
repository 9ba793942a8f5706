# SPDX-License-Identifier: MIT
"""Whole runs of ./umbra with an engine that acts a part: exit statuses, and
that nothing outlives a run, however it ends."""

import os
import resource
import signal
import subprocess
import time
import unittest

import front

READY = ["send", "\x1e@umbra: up\n\x1e!guest 0 name=g\n\x1eA"]


def wait_for(condition, seconds=10):
    """The first true value of condition(); fails when time is up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Runs(unittest.TestCase):
    def setUp(self):
        self.place = front.Place()
        self.addCleanup(self.place.close)

    def tearDown(self):
        self.assertEqual(self.place.left_over(), [])

    def file(self, name):
        return str(self.place.path / name)

    def number_in(self, name):
        def read():
            try:
                with open(self.file(name), encoding="ascii") as file:
                    return int(file.read())
            except FileNotFoundError:
                return None
        return wait_for(read)


class Statuses(Runs):
    def test_verdict_is_the_status_and_outputs_are_apart(self):
        for engine in ("bochs", "qemu"):
            status, out, err = self.place.run(
                engine=engine, play=[READY, ["send", "hello\n\x1e!end 37\n"],
                                     ["exit", 1]])
            self.assertEqual((status, out, err), (37, b"hello\n",
                                                  "umbra: up\n"))

    def test_last_bytes_before_the_engine_ends_are_not_lost(self):
        text = "x" * 300000
        status, out, _ = self.place.run(
            play=[READY, ["send", text + "\x1e!end 0\n"], ["exit", 0]])
        self.assertEqual((status, out), (0, text.encode()))

    def test_last_bytes_wait_for_a_slow_reader(self):
        process = self.place.start_run(
            play=[READY, ["send", "x" * 300000 + "\x1e!end 4\n"], ["exit", 0]])
        self.addCleanup(process.stderr.close)
        size, piece = 0, b"?"
        with process.stdout as stream:
            while piece:
                time.sleep(0.2)
                piece = os.read(stream.fileno(), 20000)
                size += len(piece)
        self.assertEqual((process.wait(10), size), (4, 300000))

    def test_words_after_the_verdict_still_arrive(self):
        _, out, err = self.place.run(
            play=[READY, ["send", "\x1e!end 0\nlate\x1e@bye\n"], ["exit", 0]])
        self.assertEqual((out, err), (b"late", "umbra: up\nbye\n"))

    def test_end_without_a_verdict_is_125_and_one_line(self):
        for engine, play, words in (
                ("bochs", [["exit", 0]], "without a word before"),
                ("bochs", [READY, ["exit", 3]], "stopped with status 3"),
                ("bochs", [["kill"]], "killed by signal 9"),
                ("bochs", [["log", "00012p[RFB   ] >>PANIC<< no port\n"],
                           ["exit", 1]], "RFB: no port"),
                ("bochs", [["log", "1p[CPU0  ] >>PANIC<< exception(): 3rd (13)"
                            " exception with no resolution\n"], ["exit", 1]],
                 "triple fault"),
                ("qemu", [["exit", 0]], "triple fault, a reset"),
                ("qemu", [["say", "qemu-system-x86_64: no disk"], ["exit", 1]],
                 "stopped: no disk")):
            status, _, err = self.place.run(play=play, engine=engine)
            self.assertEqual(status, 125, err)
            self.assertIn(words, err)
            self.assertEqual(err.replace("umbra: up\n", "").count("\n"), 1)

    def test_verdict_that_is_none_does_not_count(self):
        for record in ("end", "end 256", "end x", "end -1", "end 1 2"):
            status, _, err = self.place.run(
                play=[READY, ["send", f"\x1e!{record}\n"], ["exit", 0]])
            self.assertEqual(status, 125)
            self.assertIn("unknown record", err)

    def test_timeout_is_124(self):
        for play in ([READY, ["sleep", 60]], [["sleep", 60]]):
            status, _, err = self.place.run("--timeout", "0.5", play=play)
            self.assertEqual(status, 124)
            self.assertIn("no end after 0.5 s", err)

    def test_output_without_end_does_not_outrun_the_timeout(self):
        process = self.place.start_run("--timeout", "1",
                                       play=[READY, ["flood", "y" * 10000]])
        start = time.monotonic()
        status, _, _ = front.finish(process)
        self.assertEqual(status, 124)
        self.assertLess(time.monotonic() - start, 10)

    def test_reader_who_stops_reading_does_not_stop_the_timeout(self):
        process = self.place.start_run("--timeout", "1",
                                       play=[READY, ["flood", "y" * 10000]])
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.assertEqual(process.wait(10), 124)

    def test_file_that_cannot_be_written_is_125_and_one_line(self):
        def allow_small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        status, _, err = self.place.run(play=[], preexec_fn=allow_small_files)
        self.assertEqual(status, 125)
        self.assertRegex(err, r"\Aumbra: [^\n]*umbra-run-[^\n]*: "
                         r"File too large\n\Z")

    def test_output_that_cannot_be_written_is_named(self):
        for words, name in ((["--log", "/dev/full"], "/dev/full"),
                            ([], "standard output")):
            with open("/dev/full", "wb") as full:
                done = subprocess.run(
                    [str(front.ROOT / "umbra"), "run", self.place.guest,
                     "--engine", "bochs", "--set",
                     f"host.image={self.place.image}", *words],
                    env=self.place.environment(READY, ["send", "text\n"],
                                               ["sleep", 60]),
                    stdin=subprocess.DEVNULL, stdout=full,
                    stderr=subprocess.PIPE, check=False, timeout=20)
            self.assertEqual(done.returncode, 125)
            self.assertTrue(done.stderr.decode().endswith(
                f"umbra: cannot go on: {name}: No space left on device\n"))

    def test_files_that_are_closed_are_done_without(self):
        """Nor is what is opened next taken for one of them."""
        log = self.file("log")
        for closed in ((1,), (2,), (0, 1, 2)):
            def close(numbers=closed):
                for number in numbers:
                    os.close(number)

            process = self.place.start_run(
                "--log", log, preexec_fn=close,
                play=[READY, ["send", "text\n\x1e!end 3\n"]])
            self.assertEqual(front.finish(process)[0], 3)
            with open(log, encoding="utf-8") as file:
                self.assertRegex(file.read(),
                                 r"\A\S+ umbra\| [^\n]*\n\S+ g\| text\n\Z")

    def test_machine_that_stays_after_its_verdict_is_asked_for(self):
        process = self.place.start_run(
            "--set", "umbra.exit=stay", "--timeout", "1",
            play=[READY, ["send", "\x1e!end 3\n"], ["sleep", 60]])
        self.assertEqual(front.finish(process)[0], 124)

    def test_engine_that_is_no_program_is_125(self):
        environment = dict(self.place.environment(),
                           UMBRA_BOCHS=self.place.image)
        os.chmod(self.place.image, 0o755)
        done = subprocess.run(
            [str(front.ROOT / "umbra"), "run", self.place.guest, "--engine",
             "bochs", "--set", f"host.image={self.place.image}"],
            env=environment, capture_output=True, check=False, timeout=20)
        self.assertEqual(done.returncode, 125)


class Input(Runs):
    def test_input_reaches_the_guest_and_its_end_ends_nothing(self):
        process = self.place.start_run(
            play=[READY, ["echo", 8], ["sleep", 0.5],
                  ["send", "\x1e!end 0\n"], ["exit", 0]],
            stdin=subprocess.PIPE)
        # Two bytes select the channel; the fake sends all eight back, and
        # so selects the guest's console for what follows.
        status, out, _ = front.finish(process, b"hello\n")
        self.assertEqual((status, out), (0, b"hello\n"))

    def test_input_before_the_guest_is_there_waits_for_it(self):
        process = self.place.start_run(
            play=[["send", "\x1e@up\n"], ["sleep", 0.3], READY, ["echo", 5],
                  ["send", "\x1e!end 0\n"], ["exit", 0]],
            stdin=subprocess.PIPE)
        self.assertEqual(front.finish(process, b"abc")[:2], (0, b"abc"))

    def test_large_input_arrives_whole(self):
        size = 3_000_000
        process = self.place.start_run(
            play=[READY, ["sleep", 0.3], ["hold", size + 2],
                  ["send", "\x1e!end 0\n"], ["exit", 0]],
            stdin=subprocess.PIPE)
        self.assertEqual(front.finish(process, b"z" * size)[:2],
                         (0, str(size + 2).encode()))


class Ends(Runs):
    """Every way out removes the engine, what it started, and all files."""

    def start(self, *words, **options):
        process = self.place.start_run(
            *words, play=[["spawn", self.file("grandchild")], READY,
                          ["file", self.file("engine")], ["sleep", 600]],
            **options)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.pids = [self.number_in("engine"), self.number_in("grandchild")]
        self.assertTrue(all(map(is_alive, self.pids)))
        return process

    def all_gone(self):
        wait_for(lambda: not any(map(is_alive, self.pids)))
        for name in ("engine", "grandchild"):
            os.unlink(self.file(name))

    def test_after_a_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start()
            process.send_signal(number)
            process.send_signal(number)  # impatience disturbs nothing
            self.assertEqual(process.wait(10), 128 + number)
            self.all_gone()
            self.assertEqual(self.place.left_over(), [])

    def test_after_a_timeout(self):
        process = self.start("--timeout", "1.5")
        self.assertEqual(process.wait(10), 124)
        self.all_gone()

    def test_after_ctrl_c_at_the_terminal_that_reaches_the_whole_group(self):
        process = self.start(start_new_session=True)
        os.killpg(process.pid, signal.SIGINT)
        self.assertEqual(process.wait(10), 130)
        self.all_gone()

    def test_after_the_reader_of_the_output_has_gone(self):
        process = self.place.start_run(
            play=[READY, ["flood", "text\n" * 1000]])
        process.stdout.read(1)
        process.stdout.close()
        process.stderr.close()
        self.assertNotEqual(process.wait(10), 0)

    def test_after_sigkill_the_engine_dies_and_the_next_run_cleans_up(self):
        process = self.start()
        process.kill()
        process.wait(10)
        engine, grandchild = self.pids
        wait_for(lambda: not is_alive(engine))
        os.kill(grandchild, signal.SIGKILL)  # nobody else could know of it
        self.assertEqual(len(self.place.left_over()), 1)
        self.place.run(play=[READY, ["send", "\x1e!end 0\n"], ["exit", 0]])
        self.assertEqual(self.place.left_over(), [])


class SideBySide(Runs):
    def test_several_runs_do_not_disturb_each_other(self):
        processes = [self.place.start_run(
            play=[READY, ["send", f"I am {i}"], ["sleep", 0.2],
                  ["send", f"\x1e!end {i}\n"], ["exit", 0]])
            for i in range(6)]
        for i, process in enumerate(processes):
            self.assertEqual(front.finish(process)[:2],
                             (i, f"I am {i}".encode()))
