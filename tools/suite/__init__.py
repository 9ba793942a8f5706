# SPDX-License-Identifier: MIT
"""The test suite: what there is (kinds), how it runs (runner), what it said.

docs/TESTING.md tells what each kind of test is and how to add one.
"""
