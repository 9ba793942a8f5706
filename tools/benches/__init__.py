# SPDX-License-Identifier: MIT
"""The sections of `./umbra bench`, one to a file of this folder.

A section is a file with these three names:

    TITLE = "Exits of a guest"          a heading
    ORDER = 10                          where it stands among the others
    def measure(bench):                 yields row.Row, one per line
        bench.progress("booting ...")   while something takes long
        run = bench.run("build/guests/ticks.elf", "--mem", "16M")
        yield Row("CPUID", umbra=run.cost("cpuid").ticks, kvm=993, ...)

Nothing else has to be told. A section that cannot be measured here raises
row.Unmeasurable with the reason; one that raises Trouble has failed.
"""

import dataclasses
import importlib
import pkgutil
from typing import Callable

#: What the sections are made with.
_TOOLS = ("machine", "row")


@dataclasses.dataclass(frozen=True)
class Section:
    name: str
    title: str
    order: int
    measure: Callable


def find():
    """All sections, in their order."""
    sections = []
    for found in pkgutil.iter_modules(__path__):
        if found.name in _TOOLS:
            continue
        module = importlib.import_module(f"{__name__}.{found.name}")
        sections.append(Section(found.name, module.TITLE, module.ORDER,
                                module.measure))
    return sorted(sections, key=lambda section: (section.order, section.name))
