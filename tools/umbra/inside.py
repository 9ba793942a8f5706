# SPDX-License-Identifier: MIT
"""Umbra inside Umbra: both machines of a migration are guests of a third one,
which joins their virtio-serial ports.

    Side        the outer machine: an emulator and its serial line
      Inner     an Umbra in it: its line is that guest's console
      Inner     the other one

The inner Umbras multiplex their consoles as any Umbra does for a front end; the
outer one takes these bytes for a guest's console.
"""

import types

from . import console, machine as machines, mux, run as runs, sizes
from .side import Side

_LABEL = "cable"
#: An inner Umbra ends with the power-off of its machine.
INNER_WORDS = ("console=mux", "exit=acpi", "link=virtio", "receive=on")


class Inner:
    """One of the two Umbras, as a Migration sees its sides."""

    def __init__(self, name, number, outer):
        self.name = name
        self.number = number
        self._outer = outer
        self.decoder = mux.Decoder()
        self._encoder = mux.Encoder()
        self._receive = None
        self._view = None
        self.verdict = None
        self.guest = None
        self.is_ready = False
        self._lines = console.Lines(self._say)

    @property
    def child(self):
        return self._outer.side.child

    def start(self, directory, selector, receive, view):
        self._receive, self._view = receive, view
        self._outer.start(self, directory, selector, view)

    def close(self):
        self._outer.side.close()

    def may_stand_still(self):
        return False  # both share one emulator

    def go_on(self):
        pass

    def why_ended(self):
        return self._outer.side.why_ended()

    def take(self, data):
        """Bytes of its console."""
        self._receive(self, data)

    def send(self, channel, data):
        self._outer.side.send(mux.guest_channel(self.number),
                              self._encoder.encode(channel, data))

    def has_room(self):
        return self._outer.side.has_room()

    def say(self, data):
        self._lines.feed(data)

    def flush(self):
        self._lines.flush()
        self._outer.side.flush()

    def _say(self, line):
        line = line.removeprefix(b"umbra> ").removesuffix(b"\r")
        if line:
            self._view.umbra(self, line)


class Outer:
    """The machine around them, started with the second of them."""

    def __init__(self, machine, engine, root, names):
        self.side = Side("outer", 0, machine, engine, root)
        self.inners = [Inner(name, number, self)
                       for number, name in enumerate(names)]
        self._started = set()

    def start(self, inner, directory, selector, view):
        self._started.add(inner.number)
        if len(self._started) == len(self.inners):
            self.side.start(directory, selector, self._on_data, view)

    def _on_data(self, side, data):
        for event in side.decoder.feed(data):
            if isinstance(event, mux.Record):
                continue  # whose guests are Umbras, which say more
            if event.channel == mux.MONITOR:
                side.say(event.data)
            elif event.channel != mux.BOOT:
                number = event.channel - mux.guest_channel(0)
                self.inners[number].take(event.data)


def _is_of_the_machine(pair):
    return pair.startswith("host.")


def _as_guest(inner, has_guest):
    modules = inner.modules if has_guest else machines.for_resets(inner.modules)
    extras = [machines.extra_module(module.path, "module", module.string)
              for module in modules]
    return machines.Guest(inner.image, inner.command_line, extras)


def build(guests, options, engine, root):
    """The outer machine, with two Umbras in it, of which the first has the
    guest; and the names of the inner guests."""
    inner_options = types.SimpleNamespace(**vars(options))
    # All three are of one build.
    inner_options.set = [pair for pair in options.set
                         if not _is_of_the_machine(pair)
                         or pair.startswith("host.image=")]
    inner = runs.build_machine(guests, inner_options, root, INNER_WORDS)
    outer_options = types.SimpleNamespace(
        mem=f"{inner.memory // sizes.KIB}K", cpus=options.cpus,
        no_nested=False, iso=False,
        set=[f"connect={_LABEL}", f"host.cpus={2 * options.cpus}"]
        + [pair for pair in options.set if _is_of_the_machine(pair)])
    outer = runs.build_machine(
        [_as_guest(inner, True), _as_guest(inner, False)], outer_options, root,
        ["console=mux", f"exit={engine.EXIT}"])
    runs.check(outer, outer_options, engine)
    outer.guest_names = inner.guest_names
    return outer
