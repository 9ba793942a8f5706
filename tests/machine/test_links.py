# SPDX-License-Identifier: MIT
"""The links between two machines: every byte arrives, in order, both ways."""

import concurrent.futures
import contextlib
import re
import sys
import time

from lib import ROOT, check, machine_test
from link_peer import DATA, Peer
from noise import noisy

sys.path.insert(0, str(ROOT / "tools"))
# pylint: disable=wrong-import-position
from umbra import engines, joint, linktest


def cross(engine, kind, byte_count, ways=("both", "both"), **options):
    outcome = linktest.run(engine, kind, ways, byte_count, str(ROOT), limit=80,
                           **options)
    for text in outcome.consoles:
        print(text)
    check(outcome.is_good, "; ".join(outcome.failures))
    return outcome.consoles[0]


@machine_test(seconds=2)
def wide_registers_compute_the_same(_machine):
    # It looks at that before it measures: core/linktest_memory.c.
    text = linktest.alone("bochs", "memory", str(ROOT), limit=30)
    check("linktest: ticks per 1000 words" in text, text)


@machine_test(seconds=6, limit=100)
def bytes_cross_the_serial_line(_machine):
    cross("bochs", "uart", 5000)


def cross_noise(engine, kind, byte_count, one_in, least):
    wire = noisy(seed=1, one_in=one_in)
    cross(engine, kind, byte_count, join=wire)
    check(wire.harmed >= least, f"only {wire.harmed} were harmed")


@machine_test(seconds=6, limit=100)
def bytes_cross_a_noisy_line(_machine):
    cross_noise("bochs", "uart", 60000, one_in=4000, least=20)


@machine_test(engine="qemu", seconds=6, limit=100)
def bytes_cross_a_network_that_loses_some(_machine):
    cross_noise("qemu", "net", 500000, one_in=20, least=30)


@machine_test(seconds=6, limit=100)
def bytes_cross_the_network(_machine):
    cross("bochs", "net", 500000)


@machine_test(engine="qemu", seconds=6, limit=100)
def bytes_cross_the_network_of_another_emulator(_machine):
    cross("qemu", "net", 500000)


@machine_test(seconds=6, limit=100)
def peers_with_addresses_find_each_other(_machine):
    outcome = linktest.run(
        "bochs", "net", ("both", "both"), 100000, str(ROOT), limit=80,
        words=("link.ip=10.1.2.3 link.peer=10.1.2.4",
               "link.ip=10.1.2.4 link.peer=10.1.2.3"))
    check(outcome.is_good, "; ".join(outcome.failures))
    check("is 10.1.2.3" in outcome.consoles[0], "the address is not used")


@machine_test(engine="qemu", seconds=3, limit=100)
def bytes_cross_another_controller(_machine):
    cross("qemu", "net", 500000, device="e1000e")


BODY = bytes(1000)
FRAMES = 64  # as many as may be under way
DONE = b"\x5a"  # core/linktest.c: the last byte of each direction


@machine_test(engine="qemu", seconds=3, limit=100)
def controller_behind_another_host_bridge_is_found(_machine):
    """As in servers: no bridge of bus 0 leads to it."""
    def join(*arguments):
        return joint.Joint(*arguments, needs=("pxb,id=far,bus_nr=64",))

    cross("qemu", "net", 500000, device="e1000,bus=far", join=join)


def _leave_a_hole(peer):
    """The first frame of a stream comes behind all the others, and behind more
    than a receive ring has room for."""
    peer.greet()
    peer.until(lambda: peer.seen.bit_count() == FRAMES - 1,
               "all frames but the first are kept",
               lambda: [peer.say(DATA, number, BODY)
                        for number in range(1, FRAMES)])
    for i in range(600):
        peer.ask_who_has(f"10.9.9.{100 + i % 100}")
        time.sleep(0.001)
    peer.until(lambda: peer.due >= FRAMES, "the missing frame gets in",
               lambda: peer.say(DATA, 0, BODY))
    peer.until(lambda: peer.due > FRAMES and peer.bodies, "both are done",
               lambda: peer.say(DATA, FRAMES, DONE))
    check(peer.bodies == [DONE], f"the machine has sent {peer.bodies}")


@machine_test(engine="qemu", seconds=4, limit=100)
def missing_frame_gets_in_whatever_the_network_carries(machine):
    engine, _ = engines.choose("qemu")
    with joint.Joint("net", engine, machine.folder) as wire, \
            contextlib.closing(Peer(wire.ends[0], "10.9.9.2",
                                    "10.9.9.1")) as peer, \
            concurrent.futures.ThreadPoolExecutor() as pool:
        said = pool.submit(_leave_a_hole, peer)
        text = linktest.alone(
            "qemu", "receive", str(ROOT), limit=40, link=wire.ends[0],
            words=f"link=net link.ip=10.9.9.1 link.silence=30 "
                  f"linktest.bytes={FRAMES * len(BODY)}")
        print(text)
        said.result()
    check("linktest: good" in text, "the machine says something else")


@machine_test(engine="qemu", seconds=3, limit=100)
def bytes_cross_virtio_serial(_machine):
    cross("qemu", "virtio", 3000000)


@machine_test(engine="qemu", seconds=3, limit=100)
def bytes_cross_legacy_virtio_serial(_machine):
    cross("qemu", "virtio", 3000000, device=",disable-modern=on")


@machine_test(engine="qemu", seconds=3, limit=100)
def bytes_cross_modern_virtio_serial(_machine):
    cross("qemu", "virtio", 3000000, device=",disable-legacy=on")


@machine_test(engine="qemu", seconds=3, limit=100)
def bytes_are_read_from_where_they_lie(_machine):
    text = cross("qemu", "virtio", 30000000, ways=("lend", "receive"))
    told = re.search(r"(\d+) buffers of (\d+) parts, at most (\d+) under way",
                     text)
    check(told, "how many buffers went is not said")
    buffers, parts, most = map(int, told.groups())
    # Pieces of 32 KiB, each a part; many of them at the same time.
    check(buffers <= parts <= 30000000 / 32768 + 3, f"{parts} parts")
    check(most > 4, f"only {most} buffers were under way")
