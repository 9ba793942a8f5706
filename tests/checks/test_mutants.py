# SPDX-License-Identifier: MIT
"""How mutants are judged: a test that ran out of its time has judged nothing.
"""

import contextlib
import importlib.util
import io
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/machine"))

import lib


def load(path):
    spec = importlib.util.spec_from_file_location("mutants", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutants = load("tests/mutants/run.py")
END = mutants.End


def mutant(program="test_x", more=""):
    return mutants.Mutant(f"name\nWhat goes wrong.\nin lib/fmt.c\n"
                          f"killed by {program} a_test{more}\n"
                          "-- old\na\n-- new\nb\n")


class Programs(unittest.TestCase):
    def end(self, script, seconds=20):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "program")
            program.write_text("#!/bin/sh\necho '[ RUN      ] a_test'\n"
                               + script)
            program.chmod(0o755)
            return mutants.judge_program(mutant(), program, seconds)[0]

    def test_that_passes_lets_the_mutant_live(self):
        self.assertEqual(self.end("echo '[       OK ] a_test'"), END.PASSED)

    def test_that_fails_kills_it(self):
        self.assertEqual(self.end("echo '[  FAILED  ] a_test'"), END.FAILED)

    def test_that_dies_kills_it(self):
        self.assertEqual(self.end("kill -ABRT $$"), END.FAILED)

    def test_that_is_ended_has_hung(self):
        self.assertEqual(self.end("exec sleep 60", seconds=1), END.HUNG)

    def test_that_says_more_before_it_is_ended_has_its_verdict(self):
        self.assertEqual(self.end("echo '[  FAILED  ] a_test'\n"
                                  "exec sleep 60", seconds=5), END.FAILED)

    def test_death_of_another_test_says_nothing(self):
        self.assertEqual(self.end("echo '[ RUN      ] another'\n"
                                  "kill -ABRT $$"), END.PASSED)


class Machines(unittest.TestCase):
    def end(self, function):
        """What run.py makes of what lib.py says of it."""
        test = lib.machine_test(seconds=1, limit=60)(function).machine_test
        with contextlib.redirect_stdout(io.StringIO()):
            verdict = lib.verdict_of(test)
        return mutants.end_of_machine_test(mutant("machine_x"),
                                           f"noise\nVERDICT {verdict}\n")

    def test_that_passes_lets_the_mutant_live(self):
        self.assertEqual(self.end(lambda machine: None), END.PASSED)

    def test_that_sees_a_wrong_status_kills_it(self):
        self.assertEqual(self.end(lambda machine: machine.command(
            "false").ended_with(0)), END.FAILED)

    def test_whose_guest_is_ended_has_hung(self):
        self.assertEqual(self.end(lambda machine: machine.command(
            "sh", "-c", "exit 124").ended_with(0)), END.HUNG)

    def test_whose_guest_was_ended_has_hung_whatever_failed(self):
        self.assertEqual(self.end(lambda machine: machine.command(
            "sh", "-c", "exit 124").printed("a word")), END.HUNG)

    def test_without_time_left_has_hung(self):
        def late(machine):
            machine.deadline = 0
            machine.command("true")

        self.assertEqual(self.end(late), END.HUNG)

    def test_that_is_skipped_says_nothing(self):
        def skip(_machine):
            raise lib.Skip("for a reason")

        with self.assertRaises(mutants.Broken):
            self.end(skip)

    def test_that_breaks_says_nothing(self):
        with self.assertRaises(mutants.Broken):
            self.end(lambda machine: machine.no_such_thing())


class Complaints(unittest.TestCase):
    def test_only_a_failure_kills(self):
        self.assertIsNone(mutants.complaint(mutant(), END.FAILED))
        self.assertIn("survives", mutants.complaint(mutant(), END.PASSED))
        self.assertIn("ran out of its time",
                      mutants.complaint(mutant(), END.HUNG))

    def complaint(self, end, sound=END.PASSED):
        """Of one that may hang, whose test ends so without the mistake."""
        return mutants.complaint(mutant(more=", which hangs"), end,
                                 lambda _mutant: (sound, ""))

    def test_who_may_hang_may_also_fail_but_not_pass(self):
        self.assertIsNone(self.complaint(END.HUNG))
        self.assertIsNone(self.complaint(END.FAILED))
        self.assertIn("survives", self.complaint(END.PASSED))

    def test_who_hangs_without_the_mistake_is_not_judged(self):
        for sound in END.HUNG, END.FAILED:
            self.assertIn("does not pass in its time without the mistake",
                          self.complaint(END.HUNG, sound))

    def test_killed_one_says_how(self):
        for end, output, how in (
                (END.FAILED, "x\nVERDICT FAIL a page is wrong\n",
                 "a page is wrong"),
                (END.HUNG, "VERDICT FAIL hung: status 124\n",
                 "hung: status 124"),
                (END.FAILED, "[ RUN      ] a_test\n[  FAILED  ] a_test\n",
                 "failed"),
                (END.FAILED, "[ RUN      ] a_test\nAborted\n",
                 "its program died"),
                (END.HUNG, "[ RUN      ] a_test\n", "hung")):
            self.assertEqual(mutants.how_it_was_killed(end, output), how)

    def test_table_says_who_may_hang(self):
        self.assertIn("test_x: a_test, which hangs |",
                      mutants.table([mutant(more=", which hangs")]))


if __name__ == "__main__":
    unittest.main()
