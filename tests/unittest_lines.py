# SPDX-License-Identifier: MIT
"""Runs one file of unittest tests and prints a line for each.

	python3 tests/unittest_lines.py tests/checks/test_layers.py

PASS name, FAIL name: why, SKIP name: why; details of a failure follow its
line, and "N passed, N failed, N skipped" ends the output.
"""

import importlib.util
import pathlib
import sys
import unittest


class Lines(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.passed = 0
        self.failed = 0
        self.subtest_failed = set()

    def addSuccess(self, test):
        super().addSuccess(test)
        if id(test) not in self.subtest_failed:
            self.passed += 1
            print(f"PASS {short(test)}", flush=True)

    def fail(self, test, error):
        self.failed += 1
        reason = str(error[1]).strip().partition("\n")[0]
        print(f"FAIL {short(test)}: {reason or error[0].__name__}")
        print(self._exc_info_to_string(error, test), flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.fail(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.fail(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err and id(test) not in self.subtest_failed:
            self.subtest_failed.add(id(test))
            self.fail(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"SKIP {short(test)}: {reason}", flush=True)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.failed += 1
        print(f"FAIL {short(test)}: passed, but should not", flush=True)


def short(test):
    return test.id().split(".")[-1].partition(" ")[0]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return unittest.defaultTestLoader.loadTestsFromModule(module)


def main():
    lines = Lines()
    load(pathlib.Path(sys.argv[1]).resolve()).run(lines)
    print(f"{lines.passed} passed, {lines.failed} failed, "
          f"{len(lines.skipped)} skipped")
    return 1 if lines.failed else 0


if __name__ == "__main__":
    sys.exit(main())
