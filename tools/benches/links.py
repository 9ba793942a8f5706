# SPDX-License-Identifier: MIT
"""The links of a migration, between two machines; and what a page costs Umbra
on its way into a link."""

import re

import tree
from umbra import linktest
from umbra.trouble import Trouble as NoRun

from .row import Better, Row, Trouble

TITLE = "Links: bytes between two machines, and ticks of a page"
ORDER = 40

#: Engine, link, bytes: seconds each.
_LINKS = (
    ("bochs", "uart", 400_000),
    ("bochs", "net", 24_000_000),
    ("qemu", "net", 10_000_000),
    ("qemu", "virtio", 150_000_000),
)
#: A link reaches so much of what its bare device carries.
_SHARE = 0.8
#: The one with the middle share counts. Three processes share the host's CPUs;
#: who is put beside whom, and what else the host does, makes a third of the
#: speed, but nearly the same for the bare loop and for ours just after it.
_TURNS = 5
_STEPS = (("zero", "finding a zero page, per 8 bytes", 2),
          ("copy", "copying a page into a record, per 8 bytes", None),
          ("hash", "the record's checksum, per 8 bytes", None),
          ("link", "giving the record to a link in memory, per 8 bytes",
           None),
          ("pack", "compressing the page, per 8 bytes", None),
          ("delta", "finding and packing 8 changed words of it, per 8 bytes",
           9),
          ("unpack", "the peer: the page from what was compressed, per 8 bytes",
           None),
          ("apply", "the peer: the page from what has changed, per 8 bytes",
           None),
          ("lend", "or all of that for a page that is lent, per 8 bytes",
           None))


def _speed(engine, kind, ways, count):
    return linktest.speed(engine, kind, ways, count, str(tree.ROOT), limit=120)


def _turns(engine, kind, ways_of_each, count):
    """The speeds of each of the ways, in turn, so many times."""
    return [[_speed(engine, kind, ways, count) for ways in ways_of_each]
            for _ in range(_TURNS)]


def _middle(turns, which):
    """The bare speed and the other, of the turn with the middle share."""
    by_share = sorted(turns, key=lambda turn: turn[which] / turn[0])
    turn = by_share[len(by_share) // 2]
    return turn[0], turn[which]


def _row(name, bare, ours):
    return Row(f"{name}; limit: the bare device", umbra=ours / 1000,
               limit=bare / 1000, target=_SHARE * bare / 1000, unit="KB/s",
               better=Better.MORE)


def _links(bench):
    for engine, kind, count in _LINKS:
        bench.progress(f"{kind} between two of {engine} ...")
        ways = [("bare-send", "bare-receive"), ("send", "receive")]
        if kind == "virtio":
            ways.append(("lend", "receive"))
        try:
            turns = _turns(engine, kind, ways, count)
        except NoRun as error:
            raise Trouble(f"{engine}, {kind}: {error}") from None
        yield _row(f"{kind} in {engine}", *_middle(turns, 1))
        if kind == "virtio":
            yield _row(f"{kind} in {engine}, not copied", *_middle(turns, 2))


def _page(bench):
    bench.progress("a page's way into a link in memory ...")
    text = linktest.alone("bochs", "memory", str(tree.ROOT))
    found = re.search(r"ticks per 1000 words: (.*)", text)
    if not found:
        raise Trouble("linktest=memory said nothing")
    words = found[1].split()
    ticks = dict(zip(words[::2], (int(word) / 1000 for word in words[1::2])))
    for name, work, target in _STEPS:
        yield Row(work, umbra=ticks[name], target=target)
    yield Row("hash plus copy, per 8 bytes",
              umbra=ticks["copy"] + ticks["hash"], target=1.5)


def measure(bench):
    yield from _page(bench)
    yield from _links(bench)
