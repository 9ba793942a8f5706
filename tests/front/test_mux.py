# SPDX-License-Identifier: MIT
"""Several consoles on one serial line, whatever the pieces they come in."""

import itertools
import random
import unittest

import front  # noqa: F401 (it finds the modules under test)
from umbra.mux import (BOOT, MONITOR, RECORD_BYTES_MAX, Decoder, Encoder,
                       Record, Text, guest_channel)

__all__ = ["front"]

STREAM = (b"grub\x1e@umbra: hi\n\x1eAfirst\x1eBsecond\x1e\x1e!\x1eA"
          b" more\x1e!guest 1 name=b\nrest\x1e@\x1e!end 37\nbye")
EVENTS = [Text(BOOT, b"grub"), Text(MONITOR, b"umbra: hi\n"),
          Text(1, b"first"), Text(2, b"second\x1e!"), Text(1, b" more"),
          Record("guest 1 name=b"), Text(1, b"rest"), Record("end 37"),
          Text(MONITOR, b"bye")]


def decode(pieces):
    """The events of all pieces, with texts joined that belong together."""
    decoder = Decoder()
    joined = []
    for event in itertools.chain.from_iterable(map(decoder.feed, pieces)):
        last = joined[-1] if joined else None
        if (isinstance(event, Text) and isinstance(last, Text)
                and event.channel == last.channel):
            joined[-1] = Text(event.channel, last.data + event.data)
        else:
            joined.append(event)
    return joined


class Decoding(unittest.TestCase):
    def test_whole_stream_gives_all_events(self):
        self.assertEqual(decode([STREAM]), EVENTS)

    def test_stream_cut_at_any_place_gives_the_same(self):
        for cut in range(len(STREAM) + 1):
            self.assertEqual(decode([STREAM[:cut], STREAM[cut:]]), EVENTS, cut)

    def test_stream_in_single_bytes_gives_the_same(self):
        self.assertEqual(decode(bytes((b,)) for b in STREAM), EVENTS)

    def test_unknown_pair_is_data(self):
        self.assertEqual(decode([b"\x1e@a\x1ez\x1e`b"]),
                         [Text(MONITOR, b"a\x1ez\x1e`b")])

    def test_channel_codes_end_at_5f(self):
        self.assertEqual(decode([b"\x1e_x"]), [Text(0x1F, b"x")])

    def test_record_may_hold_separators_and_ends_at_line_feed(self):
        self.assertEqual(decode([b"\x1e!odd \x1eA text\r\n"]),
                         [Record("odd \x1eA text")])

    def test_record_of_no_utf_8_still_arrives(self):
        self.assertEqual(decode([b"\x1e!\xff\n"]), [Record("\ufffd")])

    def test_endless_record_is_cut_and_the_rest_is_data(self):
        events = decode([b"\x1e@\x1e!", b"x" * (RECORD_BYTES_MAX + 100)])
        self.assertEqual(events[0], Record("x" * RECORD_BYTES_MAX))
        self.assertEqual(events[1].channel, MONITOR)

    def test_unfinished_pair_waits(self):
        decoder = Decoder()
        self.assertEqual(decoder.feed(b"\x1e"), [])
        self.assertEqual(decoder.feed(b"\x1e"), [Text(BOOT, b"\x1e")])


class Encoding(unittest.TestCase):
    def test_channel_is_selected_once(self):
        encoder = Encoder()
        self.assertEqual(encoder.encode(1, b"a"), b"\x1eAa")
        self.assertEqual(encoder.encode(1, b"b"), b"b")
        self.assertEqual(encoder.encode(MONITOR, b"c"), b"\x1e@c")

    def test_separator_in_data_is_doubled(self):
        self.assertEqual(Encoder().encode(2, b"\x1eB"), b"\x1eB\x1e\x1eB")

    def test_what_was_encoded_decodes_to_the_same(self):
        dice = random.Random(1)
        for _ in range(200):
            encoder, sent, line = Encoder(), [], b""
            for _ in range(20):
                channel = guest_channel(dice.randrange(4))
                data = bytes(dice.choice((0x1E, 0x21, 0x41, 0x0A, 0))
                             for _ in range(dice.randrange(1, 9)))
                sent.append(Text(channel, data))
                line += encoder.encode(channel, data)
            cuts = sorted(dice.choices(range(len(line)), k=5))
            pieces = [line[a:b] for a, b in zip([0, *cuts], [*cuts, None])]
            whole = {t.channel: b"" for t in sent}
            for text in sent:
                whole[text.channel] += text.data
            got = dict.fromkeys(whole, b"")
            for text in decode(pieces):
                got[text.channel] += text.data
            self.assertEqual(got, whole)
