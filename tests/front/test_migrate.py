# SPDX-License-Identifier: MIT
"""umbra migrate: what is said about a migration, and when it begins."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
# pylint: disable=wrong-import-position,protected-access
from umbra import cli, migrate
from umbra.trouble import Trouble

MOVED = {
    "result": "moved", "rounds": 3, "raw": 10, "lz4": 4, "delta": 2,
    "zero": 90, "bytes": 50000, "rate": 7000000, "dirty": 12,
    "time_us": 2500000, "audit": "full", "groups": 16, "throttle": 20,
    "downtime_us": {"total": 1500, "pause": 100, "copy": 400,
                    "state_audit": 600, "answer": 300, "start": 100},
}


class Words(unittest.TestCase):
    def test_numbers_are_numbers_and_words_words(self):
        self.assertEqual(migrate._words("round=3 result=moved odd x=1.5"),
                         {"round": 3, "result": "moved", "x": "1.5"})

    def test_a_time_is_seconds_and_anything_else_a_mark(self):
        self.assertEqual(migrate.parse_at("2.5"), 2.5)
        self.assertEqual(migrate.parse_at("7"), 7.0)
        self.assertEqual(migrate.parse_at("7 laps"), "7 laps")


class Statistics(unittest.TestCase):
    def test_all_figures_are_said(self):
        text = "\n".join(migrate.statistics(MOVED))
        for words in ("3 rounds in 2.5 s", "100 pages (10 with contents, 4 of "
                      "them compressed, 2 as what has changed, 90 zero)",
                      "50000 bytes", "7000 KB/s",
                      "12 pages/s written", "throttled by 20 %",
                      "standstill 1.5 ms: pause 0.1, copy 0.4, state and "
                      "audit 0.6", "16 groups of pages are the same"):
            self.assertIn(words, text)

    def test_without_audit_nothing_is_claimed(self):
        lines = list(migrate.statistics({**MOVED, "audit": "off"}))
        self.assertEqual(lines[-1], "audit off: nothing was compared")

    def test_who_stays_has_no_standstill(self):
        lines = list(migrate.statistics({**MOVED, "result": "failed"}))
        self.assertEqual(len(lines), 1)
        self.assertIn("migration failed", lines[0])


class Bar(unittest.TestCase):
    def test_bar_fills_as_pages_go(self):
        self.assertIn("[............", migrate.Bar._text(
            {"left": 100, "total": 100}))
        half = migrate.Bar._text({"left": 50, "total": 100, "round": 2})
        self.assertIn("[############............] round 2, 50 of 100", half)
        self.assertIn("[########################]", migrate.Bar._text(
            {"left": 0, "total": 100}))

    def test_no_pages_are_no_trouble(self):
        migrate.Bar._text({"left": 0, "total": 0})


class Options(unittest.TestCase):
    def refused(self, *words):
        return cli.main(["migrate", "/dev/null", *words])

    def test_two_guests_are_refused(self):
        options = cli._parser().parse_args(
            ["migrate", "x", "--guest", "y"])
        with self.assertRaises(Trouble):
            migrate.migrate([1, 2], options, ".")

    def test_nonsense_is_refused(self):
        for words in (("--times", "0"), ("--link", "pigeon"), ("--at",)):
            self.assertEqual(self.refused(*words), 125)


if __name__ == "__main__":
    unittest.main()
