# SPDX-License-Identifier: MIT
"""The figures' front end: what a row says, what a table shows, and that a
section which fails is not taken for one without figures."""

import contextlib
import io
import json
import pathlib
import tempfile
import unittest
from unittest import mock

import front

import bench
import benches
from benches import machine, row
from benches.row import Better, Row


class Rows(unittest.TestCase):
    def test_cost_adds_what_silicon_charges(self):
        figures = Row("x", umbra=10, times=100, exits=50, flushes=100, ipis=1)
        self.assertEqual(figures.cost, 10 + 600 + 300 + 10)

    def test_no_cost_without_counts_or_in_another_unit(self):
        self.assertIsNone(Row("x", umbra=10).cost)
        self.assertIsNone(Row("x", umbra=10, exits=1, unit="MB/s").cost)

    def test_target_is_an_upper_bound_for_ticks(self):
        self.assertTrue(Row("x", umbra=10, target=10).met)
        self.assertFalse(Row("x", umbra=10.1, target=10).met)
        self.assertIsNone(Row("x", umbra=10).met)

    def test_target_is_a_lower_bound_where_more_is_better(self):
        figures = Row("x", umbra=9, kvm=3, target=10, better=Better.MORE)
        self.assertFalse(figures.met)
        self.assertEqual(figures.ratio, 3)

    def test_ratio_is_how_many_times_less(self):
        self.assertEqual(Row("x", umbra=10, kvm=50).ratio, 5)
        self.assertIsNone(Row("x", umbra=10).ratio)


class Lines(unittest.TestCase):
    TEXT = ("noise\nticks a 4.200 times 10\n"
            "ticks b 0.125 times 1000 exits 5 flushes 1 ipis 0\n")

    def test_lines_of_a_guest_are_read(self):
        run = machine.Run(["x"], 0, self.TEXT)
        self.assertEqual(run.cost("a"), machine.Cost(4.2, 10))
        self.assertEqual(run.cost("b"), machine.Cost(0.125, 1000, 5, 1, 0))

    def test_what_was_not_measured_is_trouble(self):
        run = machine.Run(["x"], 0, self.TEXT)
        self.assertIsNone(run.find("c"))
        with self.assertRaises(row.Trouble):
            run.cost("c")


class Tables(unittest.TestCase):
    def test_columns_stand_below_each_other(self):
        text = bench.table("Title", [
            Row("short", umbra=1, times=1000, exits=3, note="why"),
            Row("a longer one", umbra=12345, target=1)])
        lines = text.splitlines()
        self.assertEqual(lines[0], "Title")
        at = lines[2].index("Umbra") + len("Umbra")
        self.assertTrue(lines[3][:at].endswith("  1.00"))
        self.assertTrue(lines[4][:at].endswith("12,345"))
        self.assertIn("3 in all", lines[3])
        self.assertIn("MISSED", lines[4])
        self.assertEqual(lines[5], "[1] why")


class Sections(unittest.TestCase):
    @staticmethod
    def bench(measure, *words):
        section = benches.Section("only", "The title", 1, measure)
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.object(benches, "find", lambda: [section]), \
                mock.patch.object(bench, "build"), \
                contextlib.redirect_stdout(out), \
                contextlib.redirect_stderr(err):
            status = bench.main(list(words))
        return status, out.getvalue(), err.getvalue()

    @staticmethod
    def good(_bench):
        yield Row("work", umbra=2, target=1)

    @staticmethod
    def broken(_bench):
        yield Row("work", umbra=2)
        raise row.Trouble("it hangs")

    @staticmethod
    def impossible(_bench):
        raise row.Unmeasurable("no network")
        yield

    def test_missed_target_matters_only_to_who_asks(self):
        self.assertEqual(self.bench(self.good)[0], 0)
        status, _, err = self.bench(self.good, "--check")
        self.assertEqual(status, 1)
        self.assertIn("targets missed: work", err)

    def test_section_that_breaks_has_failed(self):
        status, out, _ = self.bench(self.broken)
        self.assertEqual(status, 1)
        self.assertIn("only: FAILED: it hangs", out)

    def test_section_that_cannot_be_measured_has_not_failed(self):
        status, out, _ = self.bench(self.impossible)
        self.assertEqual(status, 0)
        self.assertIn("not measured here: no network", out)

    def test_json_says_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "figures.json"
            self.bench(self.good, "--json", str(path))
            data = json.loads(path.read_text())
        figures = data["sections"][0]["rows"][0]
        self.assertEqual((figures["work"], figures["umbra"], figures["met"]),
                         ("work", 2, False))

    def test_json_on_standard_output_is_alone_there(self):
        _, out, _ = self.bench(self.broken, "--json", "-")
        self.assertEqual(json.loads(out)["sections"][0]["trouble"],
                         "FAILED: it hangs")

    def test_sections_of_the_tree_are_found(self):
        names = [section.name for section in benches.find()]
        self.assertIn("dirty", names)
        text = (front.ROOT / "bench/README.md").read_text()
        for name in names:
            self.assertIn(f"\n| {name} |", text, "bench/README.md names it")
