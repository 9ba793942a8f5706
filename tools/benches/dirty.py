# SPDX-License-Identifier: MIT
"""What dirty logging costs: 65,536 pages (256 MiB) of a guest with one CPU."""

from .machine import PLAIN
from .row import Row

TITLE = "Dirty logging, 65,536 pages, ticks per page"
ORDER = 20

_GUEST = "build/guests/pages.elf"
#: With what the guest itself lies in.
_MEMORY = "264M"
_PAGES = 65536

#: guests/pages.c's name, what it is, and KVM's ticks by PML (with 2M pages)
#: and by write protection, and the target.
_HARVESTS = (
    ("log_on", "turning logging on, all dirty at the start", 276, 222, 1),
    ("split", "splitting 2M pages, in chunks", 325, None, 20),
    ("harvest_all", "harvest and re-arm, all dirty, per dirty page", 346, 294,
     25),
    ("harvest_10", "harvest and re-arm, 10 % dirty, per dirty page", 774, 722,
     40),
    ("harvest_1", "harvest and re-arm, 1 % dirty, per dirty page", 740, 689,
     60),
    ("harvest_none", "harvest, nothing dirty", 0.19, 0.19, 0.05),
    ("log_off", "turning logging off, before the guest runs again", 0.62, 0.61,
     None),
    ("merge", "merging 2M pages, in chunks", 206, None, None),
)
_HARVEST_NOTE = ("exits are those by which the guest asks for the step and "
                 "learns of its end")
_NET_NOTE = "net of the guest's own instructions, the limit of which is 0"


def measure(bench):
    bare = bench.run_bare("pages", "mb=256")
    for way, kvm, kvm_exits, target in (("pml", 71.6, 128, 15),
                                        ("wp", 1446, _PAGES, 200)):
        words = ("--mem", _MEMORY, "--append", f"mb=256 by={way}")
        run = bench.run(_GUEST, *words, *PLAIN)
        if way == "pml":
            yield _first_touch(run, bare)
        yield _dirty(run, way, kvm, kvm_exits, target)
        yield _dirty(bench.run(_GUEST, *words), f"{way}, shown VMX", kvm,
                     kvm_exits, None)
        for name, work, by_pml, by_wp, wanted in _HARVESTS:
            cost = run.cost(name)
            yield Row(f"{way}: {work}", umbra=cost.ticks, target=wanted,
                      kvm=by_pml if way == "pml" else by_wp, **cost.counts(),
                      note=_HARVEST_NOTE)


def _first_touch(run, bare):
    cost = run.cost("touch_first")
    return Row("first touch of a page, without logging", limit=0,
               umbra=cost.ticks - bare.cost("touch").ticks, kvm=3457,
               kvm_exits=_PAGES, target=0, **cost.counts(), note=_NET_NOTE)


def _dirty(run, way, kvm, kvm_exits, target):
    cost = run.cost("dirty")
    return Row(f"{way}: the guest dirties a page", limit=0,
               umbra=cost.ticks - run.cost("dirty_again").ticks, kvm=kvm,
               kvm_exits=kvm_exits, target=target, **cost.counts(),
               note=_NET_NOTE)
