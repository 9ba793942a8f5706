# SPDX-License-Identifier: MIT
"""One line of the figures: a piece of work, and what it costs."""

import dataclasses
import enum
from typing import Optional

#: What silicon charges for that an emulator's ticks leave out: an exit and
#: the entry after it, an INVEPT or INVVPID with the refills, an IPI.
EXIT_TICKS = 1200
FLUSH_TICKS = 300
IPI_TICKS = 1000


class Better(enum.Enum):
    LESS = "less"
    MORE = "more"


class Unmeasurable(Exception):
    """What this machine lacks for it."""


class Trouble(Exception):
    """It should have been measured, and was not; the text says why."""


@dataclasses.dataclass(frozen=True)
class Row:
    """Figures are per piece of work, in `unit`; None: there is none.

    `limit` is the same work with nothing below it, or a bound that nothing
    can beat; `kvm` what Linux KVM needs in the same emulator. Exits, flushes
    and IPIs are Umbra's, for all `times` pieces of work together; `kvm_exits`
    are KVM's for as many.
    """
    work: str
    umbra: float
    limit: Optional[float] = None
    kvm: Optional[float] = None
    target: Optional[float] = None
    times: int = 1
    exits: Optional[int] = None
    flushes: Optional[int] = None
    ipis: Optional[int] = None
    kvm_exits: Optional[int] = None
    unit: str = "ticks"
    better: Better = Better.LESS
    note: str = ""

    @property
    def cost(self):
        """Ticks and what silicon would charge besides."""
        if self.unit != "ticks" or self.exits is None:
            return None
        counted = (EXIT_TICKS * self.exits + FLUSH_TICKS * (self.flushes or 0)
                   + IPI_TICKS * (self.ipis or 0))
        return self.umbra + counted / self.times

    @property
    def kvm_cost(self):
        """The same for KVM, without flushes and IPIs, which were not counted:
        KVM costs at least that."""
        if self.kvm is None or self.kvm_exits is None:
            return None
        return self.kvm + EXIT_TICKS * self.kvm_exits / self.times

    @property
    def ratio(self):
        """How many times better than KVM."""
        if not self.kvm or not self.umbra:
            return None
        if self.better is Better.MORE:
            return self.umbra / self.kvm
        return self.kvm / self.umbra

    @property
    def met(self):
        """Whether the target is; None without one."""
        if self.target is None:
            return None
        if self.better is Better.MORE:
            return self.umbra >= self.target
        return self.umbra <= self.target

    def as_dict(self):
        return {**dataclasses.asdict(self), "better": self.better.value,
                "cost": self.cost, "kvm_cost": self.kvm_cost,
                "ratio": self.ratio, "met": self.met}
