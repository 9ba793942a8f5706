# SPDX-License-Identifier: MIT
"""docs/MIGRATION.md is enough to write either side: guests move to one that was
written from it (receiver.py), and back (sender.py)."""

import random
import re

import record
import wire
from lib import ROOT, Failure, check, machine_test
from receiver import Receiver
from sender import Sender
from source import Guest, Module, Source

RING = "build/guests/ring.elf"
PATIENT = ("host.ips=20000000", "umbra.link.silence=36000")
STILL = "downtime=200s"


class Waits(Source):
    WORDS = ("receive=on",)


def ring_on_bochs(machine, laps):
    return Source(machine, "net", Guest(RING, f"mb=1 mark=0 laps={laps}"),
                  *PATIENT)


def ring_pages(source):
    """The numbers of the pages that the guest writes."""
    source.until_printed("offset=0")
    base, count = re.search(r"base=(\w+) pages=(\d+)", source.out).groups()
    first = int(base, 0) // wire.PAGE
    return range(first, first + int(count))


def has_one_edge(receiver, numbers):
    """The memory is of one moment of the guest's."""
    values = [receiver.page(number)[0] for number in numbers]
    edges = sum(a != b for a, b in zip(values, values[1:]))
    check(edges == 1 or edges == 0 and values[0],
          f"{edges} edges in the ring: {values}")


def state_is_of_the_ring(receiver, numbers):
    """The guest that moved was in the middle of its work."""
    sections = record.sections(receiver.state)
    check([number for number, _ in sections] ==
          [1, 2, 3, 0x10, 0x11, 0x12, *range(0x20, 0x2a), 0x7f],
          f"sections {[hex(number) for number, _ in sections]}")
    found = dict(sections)
    vm, cpu, apic = (found[number][0][0] for number in (1, 0x10, 0x12))
    check(vm["vcpu_count"] == receiver.shape.cpus == 1
          and vm["tsc_hz"] == receiver.shape.tsc_hz
          and vm["physical_bits"] == receiver.shape.address_bits
          and vm["has_started"] and vm["tsc"] > 0, f"VM: {vm}")
    # Where the guest was loaded to begins at 1 MiB and ends before its ring.
    for name, value in (("rip", cpu["rip"]), ("cr3", cpu["cr3"]),
                        ("rsp", cpu["gpr"][4])):
        check(1 << 20 <= value < numbers[0] * wire.PAGE,
              f"{name} is {value:x}")
    check(cpu["cr0"] & 0x80000001 == 0x80000001 and cpu["efer"] & 0x500 ==
          0x500 and cpu["rflags"] & ~0xffd == 2 and cpu["selector"][1],
          f"vCPU: {cpu}")
    check(translated(receiver, cpu["cr3"], cpu["rip"]) == cpu["rip"],
          "the guest's page tables do not lead to its RIP")
    check(apic["base"] >> 11 == 0xfee00800 >> 11, f"APIC: {apic['base']:x}")
    leaves = found[2][0]
    vendor = b"".join(leaves[0][register].to_bytes(4, "little")
                      for register in ("ebx", "edx", "ecx"))
    check(vendor == receiver.shape.vendor and leaves[-2]["ebx"] == 1
          and leaves[-2]["eax"] == receiver.shape.xcr0, f"CPUID: {leaves}")
    # The instruction at RIP is among what the ELF file brought.
    page = receiver.page(cpu["rip"] // wire.PAGE)
    code = page[cpu["rip"] % wire.PAGE:][:8]
    check(code in (ROOT / RING).read_bytes(), f"at RIP is {code.hex()}")


def translated(receiver, table, address):
    """As the guest's page tables say; they have large pages, too."""
    for shift in (39, 30, 21, 12):
        page = receiver.page(table >> 12 & 0xffffffffff)
        at = (address >> shift & 511) * 8
        entry = int.from_bytes(page[at:at + 8], "little")
        check(entry & 1, f"{address:x} is not mapped")
        table = entry & 0xffffffffff000
        if shift == 12 or shift < 39 and entry & 0x80:
            return table + (address & (1 << shift) - 1)
    return None


@machine_test(seconds=8, limit=80)
def hypervisor_comes_back_from_who_knows_only_the_document(machine):
    """It leaves in the middle of its guest, in which it is nearly always."""
    guest = Guest("build/guests/l1ring.elf", "mb=1 mark=0 laps=400 step=200")
    with Waits(machine, "net", guest, *PATIENT) as source:
        source.until_printed("pages=")
        receiver = Receiver()
        source.send_to(receiver, STILL)
        check(receiver.is_owner, f"not moved: {receiver.why}")
        sender = Sender(receiver)
        source.take_from(sender)
        check(sender.has_moved, f"it was refused: {sender.why}")
        source.until_printed("RESULT PASS")
    hypervisor_is_in_its_guest(receiver)


def hypervisor_is_in_its_guest(receiver):
    found = dict(record.sections(receiver.state))
    check({0x13, 0x14} <= set(found), f"sections {sorted(found)}")
    (cpu,), (l2,) = found[0x10][0], found[0x14][0]
    (pointers,), (current,) = found[0x13]
    vmcs = record.vmcs(current["contents"])
    for name in ("vmxon", "current"):
        check(pointers[name] % wire.PAGE == 0
              and pointers[name] // wire.PAGE in receiver.shape.pages,
              f"{name}: {pointers[name]:x}")
    check((vmcs["revision"], vmcs["launched"], vmcs["zero"]) ==
          (0x554c3101, 1, 0) and vmcs["LINK_POINTER"] == (1 << 64) - 1,
          f"vmcs12: {vmcs}")
    # L1 is where it has launched L2, to whose end it comes back.
    check(vmcs["HOST_CR3"] == cpu["cr3"] and vmcs["HOST_CR0"] == cpu["cr0"]
          and abs(vmcs["HOST_RIP"] - cpu["rip"]) < wire.PAGE,
          f"L1 exits to {vmcs['HOST_RIP']:x} from {cpu['rip']:x}")
    check(vmcs["GUEST_RFLAGS"] & 2 and 0 < vmcs["GUEST_RIP"] < 4 << 20
          and l2["efer"] & 0x500 == 0x500 and l2["activity"] == 0,
          f"L2: {l2}")


class Kept(Receiver):
    """Keeps what it has been fed."""

    def __init__(self):
        super().__init__()
        self.fed = b""

    def feed(self, data):
        self.fed += data
        return super().feed(data)

    def split(self):
        """Records."""
        records, rest = [], self.fed
        while rest:
            size = wire.HEAD.size + wire.HEAD.unpack_from(rest)[2]
            records.append(rest[:size])
            rest = rest[size:]
        return records


@machine_test(seconds=8, limit=80)
def guest_moves_to_who_knows_only_the_document(machine):
    with ring_on_bochs(machine, 20000) as source:
        numbers = ring_pages(source)
        receiver = Kept()
        result = source.send_to(receiver, STILL)
    check(receiver.is_owner and result["result"] == "moved",
          f"not moved: {receiver.why}, {result}")
    check(receiver.audited == "full" and int(result["groups"]) ==
          len(receiver.shape.groups), "the audit was another one")
    for kind in ("LZ4", "DELTA"):
        check(receiver.pages[kind] == int(result[kind.lower()]) > 0,
              f"{kind}: {receiver.pages}, {result}")
    has_one_edge(receiver, numbers)
    state_is_of_the_ring(receiver, numbers)
    what_is_wrong_is_refused(receiver)


def changed(records, kind, at, *values):
    """The first record of that type, with other bytes in its payload."""
    number = next(number for number, name in wire.SOURCE.items()
                  if name == kind)
    at += wire.HEAD.size
    index = next(i for i, record in enumerate(records)
                 if wire.HEAD.unpack_from(record)[3] == number)
    record = bytearray(records[index])
    record[at:at + len(values)] = values
    record[:4] = wire.crc32c(record[4:]).to_bytes(4, "little")
    return [*records[:index], bytes(record), *records[index + 1:]]


def what_is_wrong_is_refused(receiver):
    """The same stream, each time with one thing wrong in it."""
    good = receiver.split()
    broken = bytearray(good[2])
    broken[-1] ^= 1
    other_type = bytearray(good[3])
    other_type[12] = 0x0e
    for records, why in (
            (good, None),
            ([*good[:2], bytes(broken), *good[3:]], "the CRC of PAGES"),
            ([*good[:2], *good[3:]], "record 3 instead of 2"),
            ([*good[:3], bytes(other_type), *good[4:]], "type 0e does not"),
            (changed(good, "HELLO", 8, 2), "version 2, 1 is known"),
            (changed(good, "HELLO", 32, 0, 1), "features 100 are not known"),
            (changed(good, "VM", 0, 1, 0, 255), "are due"),
            (changed(good, "ROUND", 8, 0, 0), "round 0 of"),
            (changed(good, "ROUND", 4, 1), "the last round"),
            (changed(good, "STATE", 0, 1), "STATE of another place"),
            (changed(good, "AUDIT", 0, 9), "AUDIT of group 9"),
            (changed(good, "SEAL", 12, 0, 0, 0, 0), "the state is another"),
            (changed(good, "SEAL", 20, 0, 0, 0, 0), "the root is another"),
            (changed(good, "COMMIT", 0, 0, 0, 0, 0), "of another session")):
        again = Receiver()
        again.feed(b"".join(records))
        check(again.is_owner == (why is None) and (why or "") in
              (again.why or ""), f"{why!r} is {again.why!r}")


# --- What an answer that is wrong does ---------------------------------------


class OtherVersion(Receiver):
    def welcome(self, version):
        super().welcome(version + 1)


class OtherRecord(Receiver):
    """Says one that does not exist."""

    def round_is_over(self, number):
        self.say_type(0x49, b"")


class OtherRoot(Receiver):
    def say_ready(self, crc, root):
        super().say_ready(crc, root ^ 1)


class OtherPages(Receiver):
    """One byte of each of these is wrong."""

    def __init__(self, *numbers):
        super().__init__()
        self._hurt = numbers

    def guest_is_whole(self):
        super().guest_is_whole()
        for number in self._hurt:
            page = bytearray(self.page(number))
            page[number % wire.PAGE] ^= 0x10
            self.memory[number] = bytes(page)


@machine_test(seconds=10, limit=80)
def guest_stays_whatever_its_receiver_says(machine):
    with ring_on_bochs(machine, 24000) as source:
        numbers = ring_pages(source)
        for receiver, why in (
                (OtherVersion(), r"no Umbra of this version \(2\)"),
                (OtherRecord(), r"none of the migration's \(type 49\)"),
                (OtherRoot(), "the peer is ready with something else")):
            result = source.send_to(receiver, STILL)
            check(result["result"] == "failed" and not receiver.is_owner,
                  f"{why}: {result}")
            source.until_said(f"ring stays here: .*{why}")
        # Both of one group, and one that is far from them.
        hurt = [number for number in numbers
                if number // wire.GROUP_PAGES == numbers[0] //
                wire.GROUP_PAGES][:2] + [numbers[-1]]
        receiver = OtherPages(*hurt)
        result = source.send_to(receiver, STILL)
        check(result["result"] == "failed", f"a page is wrong: {result}")
        check(receiver.bad_pages == hurt[:2],
              f"the audit names {receiver.bad_pages} of {hurt}")
        source.until_said("ring stays here: the peer gave up: pages differ: "
                          f"{hurt[0] * wire.PAGE:x} {hurt[1] * wire.PAGE:x}$")
        check("RESULT" not in source.out, "it has ended before all attempts")
        source.until_printed("RESULT PASS")
        source.record("end 1$")


@machine_test(seconds=6, limit=80)
def guest_that_waits_for_its_turn_can_stay(machine):
    """The last migration has failed, and what is under way of it has to pass:
    a third of a second of the machine's, in which a slow host may be late."""
    with ring_on_bochs(machine, 24000) as source:
        source.until_printed("offset=0")
        for _ in range(5):
            source.send_to(OtherRoot(), STILL)
            source.say("migrate 0", "cancel")
            if source.record("not_begun|migrated", len(source.records))[0] == \
                    "not_begun":
                break
        else:
            raise Failure("the migrations began that were cancelled")
        source.until_said("guest ring goes when the last one is cleared up")
        source.until_said("guest ring stays here: cancelled by hand")
        # Of what is not understood nothing counts.
        check(not source.send_to(Receiver(), "compress=off", "audits=full"),
              "a word that does not exist was taken")
        receiver = Receiver()
        result = source.send_to(receiver, STILL)
        check(receiver.is_owner and result["result"] == "moved",
              f"not moved: {receiver.why}, {result}")
        check(receiver.pages["LZ4"], f"not compressed: {receiver.pages}")


@machine_test(seconds=10, limit=80)
def guest_moves_over_the_serial_line(machine):
    with Source(machine, "uart", Guest(RING, "mb=1 mark=0 laps=20000"),
                *PATIENT) as source:
        numbers = ring_pages(source)
        receiver = Receiver()
        result = source.send_to(receiver, STILL)
    check(receiver.is_owner and result["result"] == "moved",
          f"not moved: {receiver.why}, {result}")
    has_one_edge(receiver, numbers)


# --- And back ----------------------------------------------------------------


class Forgets(Sender):
    """Its last round does not correct the last page that went wrong."""

    def corrections(self):
        return super().corrections()[:-1]


@machine_test(seconds=8, limit=80)
def guest_comes_back_from_who_knows_only_the_document(machine):
    """At first with a page that is wrong, so it is refused. Then it goes on
    with its work where it had left."""
    guest = Guest(RING, "mb=1 mark=0 laps=8000")
    with Waits(machine, "net", guest, *PATIENT) as source:
        numbers = ring_pages(source)
        receiver = Receiver()
        result = source.send_to(receiver, STILL)
        check(result["result"] == "moved", f"not moved: {result}")
        sender = Forgets(receiver, wrong=numbers[3:70])
        source.take_from(sender)
        check(not sender.has_moved and re.search(
            f"pages that differ: {numbers[69] * wire.PAGE:x} ", sender.why),
            f"{numbers[69] * wire.PAGE:x} is wrong, and the answer is "
            f"{sender.why!r}")
        sender = Sender(receiver, wrong=numbers[3:70])
        source.take_from(sender)
        check(sender.has_moved, f"it was refused: {sender.why}")
        source.record("arrived guest=")
        source.until_printed("RESULT PASS")


def section_at(state, number):
    """Where the contents of that section begin."""
    at = 0
    while int.from_bytes(state[at:at + 2], "little") != number:
        at += 8 + int.from_bytes(state[at + 4:at + 8], "little")
    return at + 8


def with_components(state, allowed):
    """The state of a guest that may have these components of XSAVE, and has
    the FPU's switched on: 1, 2 and 4 are FPU, SSE and AVX."""
    state = bytearray(state)
    state[section_at(state, 2) + 38 * 16] = allowed
    state[section_at(state, 0x10) + 360] = 1
    state[section_at(state, 0x11) + 512] = 1
    return bytes(state)


@machine_test(seconds=8, limit=80)
def guest_with_components_that_no_cpu_lets_it_have_is_refused(machine):
    """AVX without SSE: Umbra's own XSETBV would fault."""
    guest = Guest(RING, "mb=1 mark=0 laps=8000")
    with Waits(machine, "net", guest, *PATIENT) as source:
        ring_pages(source)
        receiver = Receiver()
        result = source.send_to(receiver, STILL)
        check(result["result"] == "moved", f"not moved: {result}")
        sender = Sender(receiver,
                        state=with_components(receiver.state, 5))
        source.take_from(sender)
        check(not sender.has_moved and "XCR0" in sender.why,
              f"it was taken, or the answer is {sender.why!r}")
        sender = Sender(receiver)
        source.take_from(sender)
        check(sender.has_moved, f"it was refused: {sender.why}")
        source.until_printed("RESULT PASS")


# --- What is agreed on -------------------------------------------------------


class Declines(Receiver):
    """Has found all as it should be, and does without."""

    ready = False

    def say_ready(self, crc, root):
        self.ready = True
        self.refuse("that was all")


@machine_test(seconds=10, limit=80)
def features_are_what_both_sides_have(machine):
    with ring_on_bochs(machine, 60000) as source:
        numbers = ring_pages(source)
        for features, wish, kinds, audit in (
                (0, "audit=sent", {"RAW", "ZERO"}, "full"),
                (wire.DELTA, "audit=full", {"RAW", "DELTA", "ZERO"}, "full"),
                (wire.FEATURES, "compress=lz4 audit=sent", {"LZ4", "ZERO"},
                 "sent"),
                (wire.FEATURES, "compress=off audit=off", {"RAW", "ZERO"},
                 None)):
            receiver = Declines(features)
            result = source.send_to(receiver, STILL, wish)
            check(receiver.ready, f"{features} {wish}: {receiver.why}")
            check(result["result"] == "failed", f"{result}")
            source.until_said("the peer gave up: that was all")
            has_one_edge(receiver, numbers)
            check(set(receiver.pages) - {"RAW"} == kinds - {"RAW"},
                  f"{features} {wish}: {receiver.pages}")
            check("RAW" in kinds or receiver.pages["LZ4"] > 200,
                  f"{features} {wish}: {receiver.pages}")
            check(receiver.audited == audit,
                  f"{features} {wish}: audit {receiver.audited}")
        check("RESULT" not in source.out, "it has ended before all attempts")


@machine_test(engine="qemu", seconds=5, limit=60)
def lent_pages_arrive(machine):
    """Of a guest that does not run, because that needs VMX."""
    file = machine.folder / "module"
    file.write_bytes(random.Random(1).randbytes(1 << 20))
    guest = Guest(RING, "mb=1", [Module(str(file), "module")])
    with Source(machine, "virtio", guest, "start=no", "compress=off") as source:
        source.record("guest 0")
        receiver = Declines()
        source.send_to(receiver, "audit=sent")
        check(receiver.ready and receiver.audited == "sent", receiver.why)
        check(receiver.pages["LIVE"] > 256, f"{receiver.pages}")
        receiver = Receiver()
        result = source.send_to(receiver, "audit=full")
        check(receiver.is_owner and result["result"] == "moved",
              f"not moved: {receiver.why}")
        check(receiver.pages["LIVE"] == int(result["lent"]) > 256,
              f"{receiver.pages}, {result}")
