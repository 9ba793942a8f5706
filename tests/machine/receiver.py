# SPDX-License-Identifier: MIT
"""A destination for guests of Umbra's that is not Umbra: written from
docs/MIGRATION.md alone, so that whoever has only that can write one. It takes
everything that a guest consists of, proves that it is whole, and runs nothing.

    bytes of a link --> feed() --> records --> on_X() --> answer --> the link

Whatever is not as the document says ends the migration with REFUSE. What a
test wants to be different is a subclass.
"""

import collections
import functools
import struct

import wire
from wire import PAGE, Wrong

Slot = collections.namedtuple("Slot", "base bytes kind zero")


class Shape:
    """What VM says."""

    def __init__(self, reader):
        (self.cpus, slots, self.address_bits, self.tsc_hz, self.xcr0, name,
         self.vendor, self.brand) = reader.fields("HHIQQ32s12s48s")
        self.name = name.rstrip(b"\0").decode("ascii")
        self.cpuid = reader.fields("8I")
        self.slots = [Slot(*reader.fields("QQII")) for _ in range(slots)]
        reader.end()
        #: The numbers of all pages that exist.
        self.pages = {page for slot in self.slots for page in
                      range(slot.base // PAGE,
                            (slot.base + slot.bytes) // PAGE)}
        if any(slot.kind > 1 or slot.zero for slot in self.slots) or \
                len(self.pages) * PAGE != sum(s.bytes for s in self.slots):
            raise Wrong("memory that cannot be")
        self.groups = sorted({page // wire.GROUP_PAGES for page in self.pages})


_page_hash = functools.lru_cache(4096)(wire.crc32c)


class Receiver:
    """One migration."""

    def __init__(self, features=wire.FEATURES):
        self._known = features
        self._inbox = wire.Inbox(wire.SOURCE)
        self._outbox = wire.Outbox(wire.DESTINATION)
        self._answers = []
        self._due = {"HELLO"}  # types that may come now
        self._session = None
        self._round = 0
        self._in_round = [0, 0]  # with contents, zero
        self._state = bytearray()
        self._audit_at = 0  # of the groups
        self._root = 0
        self._bad_groups = []
        self.features = None  # agreed
        self.vm = self.shape = None  # VM's payload, and what it says
        self.memory = {}  # by number; those that are not there are zero
        self.came = set()  # numbers of pages
        self.contents_came = set()  # of those, not as ZERO
        self.pages = collections.Counter()  # by kind
        self.records = collections.Counter()  # by type
        self.audited = None  # how
        self.why = None  # it ended without the guest
        self.bad_pages = []  # numbers that the audit has named
        self.is_owner = False

    @property
    def state(self):
        """The state record."""
        return bytes(self._state)

    def feed(self, data):
        """What is to be said to that."""
        self._inbox.feed(data)
        while not self.is_over():
            try:
                record = self._inbox.take()
                if not record:
                    break
                self.records[record.type] += 1
                if record.type not in self._due:
                    raise Wrong(f"{record.type} is not due")
                getattr(self, "on_" + record.type.lower())(record)
                record.reader.end()
            except Wrong as reason:
                self.refuse(f"{reason}")
        answers, self._answers = b"".join(self._answers), []
        return answers

    def is_over(self):
        return self.why is not None or self.is_owner

    def refuse(self, why):
        self.why = why
        self.say("REFUSE", why.encode("ascii", "replace")[:200])

    def say(self, name, payload):
        self._answers.append(self._outbox.record(name, payload))

    def say_type(self, number, payload):
        self._answers.append(self._outbox.record_of_type(number, payload))

    def say_session(self, name):
        self.say(name, struct.pack("<Q", self._session))

    def _is_of_session(self, record):
        if record.reader.number(8) != self._session:
            raise Wrong(f"{record.type} of another session")

    # --- Beginning -----------------------------------------------------------

    def on_hello(self, record):
        magic, version, _, _ = record.reader.fields("QHHI")
        if magic != wire.MAGIC:
            raise Wrong("that is no HELLO")
        if version != wire.VERSION:
            raise Wrong(f"version {version}, {wire.VERSION} is known here")
        session, offered, required = record.reader.fields("QQQ")
        if required & ~wire.FEATURES:
            raise Wrong(f"features {required:x} are not known here")
        self._session = session
        self.features = offered & self._known
        self.welcome(wire.VERSION)
        self._due = {"VM", "CANCEL"}

    def welcome(self, version):
        self.say("WELCOME", struct.pack("<QHHIQQ", wire.MAGIC, version, 0, 0,
                                        self._session, self.features))

    def on_vm(self, record):
        self.vm = record.reader.bytes(record.reader.left)
        self.shape = Shape(wire.Reader(self.vm))
        self.say_session("ACCEPT")
        self._due = {"PAGES", "LIVE", "ROUND", "PREPARE", "CANCEL"}

    # --- Memory --------------------------------------------------------------

    def page(self, number):
        return self.memory.get(number, wire.ZERO_PAGE)

    def on_pages(self, record):
        for kind, number, what in wire.pages(record):
            self._take(kind, number, what)

    def on_live(self, record):
        if not self.features & wire.LIVE:
            raise Wrong("LIVE was not agreed on")
        for kind, number, what in wire.pages(record):
            if kind in ("LZ4", "DELTA"):
                raise Wrong(f"{kind} in LIVE")
            self._take(kind, number, what)
            self.pages["LIVE"] += kind == "RAW"

    def _take(self, kind, number, what):
        if kind == "ZERO":
            self._take_zeroes(number, what)
            return
        if number not in self.shape.pages:
            raise Wrong(f"page {number:x} is none")
        if kind in ("LZ4", "DELTA"):
            if not self.features & getattr(wire, kind):
                raise Wrong(f"{kind} was not agreed on")
            what = wire.unpack(what)
        if kind == "DELTA":
            what = wire.exclusive_or(what, self.page(number))
        self.memory[number] = what
        self.came.add(number)
        self.contents_came.add(number)
        self.pages[kind] += 1
        self._in_round[0] += 1

    def _take_zeroes(self, first, count):
        numbers = range(first, first + count)
        if not self.shape.pages.issuperset(numbers):
            raise Wrong(f"of pages {first:x} and {count} on some are none")
        for number in numbers:
            self.memory.pop(number, None)
        self.came.update(numbers)
        self.pages["ZERO"] += count
        self._in_round[1] += count

    def on_round(self, record):
        number, is_last, contents, zero = record.reader.fields("IIQQ")
        if number != self._round or [contents, zero] != self._in_round:
            raise Wrong(f"round {number} of {contents} and {zero} pages is "
                        f"{self._round} of {self._in_round} here")
        if is_last != ("PREPARE" not in self._due):
            raise Wrong("the last round is another one")
        self._round += 1
        self._in_round = [0, 0]
        if is_last:
            self._due = {"STATE", "CANCEL"}
        else:
            self.round_is_over(number)

    def round_is_over(self, number):
        self.say("ROUND_SEEN", struct.pack("<II", number, 0))

    # --- Handing over --------------------------------------------------------

    def on_prepare(self, record):
        self._is_of_session(record)
        self.say_session("PREPARED")
        self._due = {"PAGES", "LIVE", "ROUND", "CANCEL"}

    def on_state(self, record):
        offset, total = record.reader.fields("II")
        self._state += record.reader.bytes(record.reader.left)
        if offset != len(self._state) - record.size + 8 or \
                len(self._state) > total:
            raise Wrong("STATE of another place")
        if len(self._state) == total:
            self._due = {"AUDIT", "AUDIT_SENT", "SEAL", "CANCEL"}
            self.guest_is_whole()

    def guest_is_whole(self):
        """All pages have come, and the state."""
        if self.came != self.shape.pages:
            raise Wrong(f"{len(self.shape.pages - self.came)} pages have not "
                        "come")

    def numbers_in(self, group):
        first = group * wire.GROUP_PAGES
        return [number for number in range(first, first + wire.GROUP_PAGES)
                if number in self.shape.pages]

    def hashes(self, numbers):
        return [_page_hash(self.page(number)) for number in numbers]

    def group_hash(self, numbers):
        return wire.crc32c(struct.pack(f"<{len(numbers)}I",
                                       *self.hashes(numbers)))

    def _compare(self, group, numbers, theirs):
        ours = self.group_hash(numbers)
        if ours != theirs:
            self._bad_groups.append(group)
        self._audit_at += 1
        return ours

    def on_audit(self, record):
        if self.features & wire.AUDIT_SENT:
            raise Wrong("AUDIT instead of AUDIT_SENT")
        first, reader = record.reader.number(8), record.reader
        for theirs in reader.fields(f"{reader.left // 4}I"):
            if self._audit_at == len(self.shape.groups):
                raise Wrong("AUDIT of groups that are none")
            group = self.shape.groups[self._audit_at]
            if first not in (group, None):
                raise Wrong(f"AUDIT of group {first} instead of {group}")
            first = None
            ours = self._compare(group, self.numbers_in(group), theirs)
            self._root = wire.crc32c(struct.pack("<I", ours), self._root)
        self.audited = "full"

    def on_audit_sent(self, record):
        if not self.features & wire.AUDIT_SENT:
            raise Wrong("AUDIT_SENT was not agreed on")
        while record.reader.left:
            group, bits, theirs = record.reader.fields("QQI")
            numbers = [number for number in self.numbers_in(group)
                       if bits >> number % wire.GROUP_PAGES & 1]
            if not bits or len(numbers) != bits.bit_count():
                raise Wrong(f"AUDIT_SENT of group {group}, pages {bits:x}")
            self.contents_came.difference_update(numbers)
            ours = self._compare(group, numbers, theirs)
            self._root = wire.crc32c(struct.pack("<QQI", group, bits, ours),
                                     self._root)
        self.audited = "sent"

    def _is_audit_whole(self, mode):
        if mode == 0:
            return not self.features & wire.LIVE
        if mode == 1:
            return (self.audited == "full"
                    and self._audit_at == len(self.shape.groups))
        # All that ever came with contents has been counted.
        return self.audited == "sent" and not self.contents_came

    def on_seal(self, record):
        self._is_of_session(record)
        size, crc, mode, root, groups = record.reader.fields("IIIIQ")
        if size != len(self._state) or crc != wire.crc32c(self._state):
            raise Wrong("the state is another one")
        if not self._is_audit_whole(mode) or groups != self._audit_at:
            raise Wrong(f"audit {mode} of {groups} groups is not whole")
        if self._bad_groups:
            self.say("AUDIT_ASK", struct.pack("<Q", self._bad_groups[0]))
            self._due = {"AUDIT_PAGES", "CANCEL"}
            return
        if root != self._root:
            raise Wrong("the root is another one")
        self.say_ready(crc, root)
        self._due = {"COMMIT", "CANCEL"}

    def say_ready(self, crc, root):
        self.say("READY", struct.pack("<QII", self._session, crc, root))

    def on_audit_pages(self, record):
        group, bits = record.reader.fields("QQ")
        numbers = [group * wire.GROUP_PAGES + i
                   for i in range(wire.GROUP_PAGES) if bits >> i & 1]
        theirs = record.reader.fields(f"{len(numbers)}I")
        if group != self._bad_groups[0]:
            raise Wrong("AUDIT_PAGES of another group")
        self.bad_pages = [number for number, ours, their in zip(
            numbers, self.hashes(numbers), theirs) if ours != their]
        raise Wrong("pages differ: " + " ".join(
            f"{number * PAGE:x}" for number in self.bad_pages))

    def on_commit(self, record):
        self._is_of_session(record)
        self.is_owner = True
        self.say_session("RUNNING")

    def on_cancel(self, record):
        text = record.reader.bytes(record.reader.left)
        self.why = "the source gave up: " + text.decode("ascii", "replace")
