# SPDX-License-Identifier: MIT
"""The test suite itself: no program passes by silence, nothing is left over.
"""

import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import testsuite
from suite import runner, task


def outcomes(read, output, status=0, trouble="", name="kind/name"):
    item = task.Task(name, "kind", [], read)
    finished = task.Finished(status, output, 0.1, trouble)
    return [case.outcome for case in task.cases_of(item, finished)]


class Readers(unittest.TestCase):
    def test_tap_counts_what_ran(self):
        output = ("1..3\nok 1 - a\nnot ok 2 - b\n# why\n"
                  "not ok 3 # SKIP c\n# not ok - group\n")
        self.assertEqual(outcomes(task.read_tap, output, 1),
                         [task.PASS, task.FAIL, task.SKIP])

    def test_tap_that_stops_half_way_has_failed(self):
        self.assertEqual(outcomes(task.read_tap, "1..2\nok 1 - a\n"),
                         [task.FAIL])

    def test_tap_without_a_plan_has_failed(self):
        self.assertEqual(outcomes(task.read_tap, ""), [task.FAIL])

    def test_tap_of_no_test_has_failed(self):
        self.assertEqual(outcomes(task.read_tap, "1..0\n"), [task.FAIL])

    def test_sanitizer_report_after_good_tests_has_failed(self):
        self.assertEqual(outcomes(task.read_tap, "1..1\nok 1 - a\n", -6),
                         [task.PASS, task.FAIL])

    def test_lines_count_what_ran(self):
        output = ("PASS a\nnoise\nFAIL b: why\nSKIP c: why\n"
                  "1 passed, 1 failed, 1 skipped\n")
        self.assertEqual(outcomes(task.read_lines, output, 1),
                         [task.PASS, task.FAIL, task.SKIP])

    def test_lines_without_a_closing_line_have_failed(self):
        self.assertEqual(outcomes(task.read_lines, "PASS a\n"), [task.FAIL])

    def test_lines_that_do_not_add_up_have_failed(self):
        output = "PASS a\n2 passed, 0 failed, 0 skipped\n"
        self.assertEqual(outcomes(task.read_lines, output), [task.FAIL])

    def test_lines_of_no_test_have_failed(self):
        output = "0 passed, 0 failed, 0 skipped\n"
        self.assertEqual(outcomes(task.read_lines, output), [task.FAIL])

    def test_verdict_must_be_the_last_line(self):
        self.assertEqual(outcomes(task.read_verdict, "x\nVERDICT PASS\n"),
                         [task.PASS])
        self.assertEqual(outcomes(task.read_verdict, "VERDICT PASS\nx\n"),
                         [task.FAIL])
        self.assertEqual(outcomes(task.read_verdict, ""), [task.FAIL])

    def test_verdict_of_a_program_that_dies_after_it_has_failed(self):
        self.assertIn(task.FAIL,
                      outcomes(task.read_verdict, "VERDICT PASS\n", -11))

    def test_verdict_gives_its_reason(self):
        item = task.Task("m/a", "machine", [], task.read_verdict)
        finished = task.Finished(0, "VERDICT SKIP no AVX here\n", 1)
        self.assertEqual(task.cases_of(item, finished),
                         [task.Case("m/a", task.SKIP, "no AVX here")])

    def test_fuzzer_that_ran_nothing_has_failed(self):
        done = "Done 0 runs in 0 second(s)\n"
        self.assertEqual(outcomes(task.read_fuzzer, done), [task.FAIL])
        self.assertEqual(outcomes(task.read_fuzzer, "Done 9 runs in 1 s\n"),
                         [task.PASS])

    def test_check_that_says_nothing_has_failed(self):
        self.assertEqual(outcomes(task.read_check, "", name="check/text"),
                         [task.FAIL])
        self.assertEqual(outcomes(task.read_check, "check text: ok (0.1 s)\n",
                                  name="check/text"), [task.PASS])


class Runner(unittest.TestCase):
    def run_script(self, script, limit=20):
        """A Task whose program is a line of shell, run to its end."""
        item = task.Task("a", "kind", ["sh", "-c", script], task.read_verdict,
                         limit=limit)
        with tempfile.TemporaryDirectory() as folder:
            return runner.run_one(item, pathlib.Path(folder))

    def test_good_program_is_without_trouble(self):
        finished = self.run_script("echo VERDICT PASS")
        self.assertEqual((finished.status, finished.trouble), (0, ""))
        self.assertEqual(finished.output, "VERDICT PASS\n")

    def test_program_over_its_limit_is_ended(self):
        start = time.monotonic()
        finished = self.run_script("sleep 60", limit=0.2)
        self.assertIn("still ran", finished.trouble)
        self.assertLess(time.monotonic() - start, 30)

    def test_process_left_behind_is_killed_and_told(self):
        finished = self.run_script("setsid sleep 61 & echo $!")
        self.assertIn("left processes behind: sleep", finished.trouble)
        left = pathlib.Path(f"/proc/{finished.output.strip()}/cmdline")
        deadline = time.monotonic() + 5
        while left.exists() and left.read_bytes():
            self.assertLess(time.monotonic(), deadline, "still runs")
            time.sleep(0.05)

    def test_program_that_is_not_there_has_failed(self):
        item = task.Task("a", "kind", ["./no such program"], task.read_verdict)
        with tempfile.TemporaryDirectory() as folder:
            results = list(runner.run_all([item], 1, pathlib.Path(folder)))
        [(_, finished, cases)] = results
        self.assertIn("cannot be run", finished.trouble)
        self.assertIn(task.FAIL, [case.outcome for case in cases])

    def test_file_left_behind_is_told(self):
        finished = self.run_script("touch \"$TMPDIR/socket\"")
        self.assertIn("left files behind: socket", finished.trouble)


class CommandLine(unittest.TestCase):
    def suite(self, *words):
        return subprocess.run([sys.executable, "tools/testsuite.py", *words],
                              cwd=ROOT, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_name_of_no_test_is_an_error(self):
        done = self.suite("no-such-test")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no test is called that", done.stderr)

    def test_list_names_tests_and_runs_none(self):
        done = self.suite("--list", "--only", "check")
        self.assertEqual(done.returncode, 0)
        self.assertIn("check/layers\n", done.stdout)


class Closing(unittest.TestCase):
    def close(self, *outcome_words):
        report = testsuite.Report(1)
        item = task.Task("a", "kind", [], None)
        cases = [task.Case(f"a/{number}", outcome, "because")
                 for number, outcome in enumerate(outcome_words)]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            report.tell(item, task.Finished(0, "what it said\n", 1), cases)
            status = report.close()
        return status, said.getvalue()

    def test_one_failure_decides(self):
        status, said = self.close(task.PASS, task.FAIL, task.SKIP)
        self.assertEqual(status, 1)
        self.assertEqual(said.splitlines()[-1],
                         "1 passed, 1 failed, 1 skipped")
        self.assertIn("    | what it said\n", said)
        self.assertIn("failed: a/1: because\n", said)
        self.assertIn("skipped: a/2: because\n", said)

    def test_passes_are_quiet(self):
        status, said = self.close(task.PASS, task.PASS)
        self.assertEqual(status, 0)
        self.assertEqual(said.splitlines()[-1],
                         "2 passed, 0 failed, 0 skipped")
        self.assertNotIn("what it said", said)
