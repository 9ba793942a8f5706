# SPDX-License-Identifier: MIT
"""The figures that Umbra promises: `./umbra bench` measures them."""

from lib import machine_test


@machine_test(seconds=30, limit=300, long=True)
def dirty_logging_meets_its_targets(machine):
    run = machine.umbra("bench", "--only", "dirty", "--check", "--quiet")
    run.ended_with(0)
    run.printed(r"^pml: the guest dirties a page .* met ")
    run.printed(r"^wp: the guest dirties a page .* met ")
