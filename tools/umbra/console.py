# SPDX-License-Identifier: MIT
"""What comes out of a run, and what goes in: standard output and error, the
log file, the keyboard."""

import contextlib
import datetime
import os
import re
import select
import selectors
import sys
import termios
import time

from . import mux
from .trouble import naming

_CTRL_A = 0x01
_PARTIAL_LINE_SECONDS = 0.3
_LINE_BYTES = 4096  # a longer line is cut
_BOOT_BYTES = 2000  # kept of what a boot loader prints
_NAMES = {mux.BOOT: "boot", mux.MONITOR: "umbra"}
_UMBRA_LINE = re.compile(rb"\bumbra: [^\r\n]*")
# Terminal control sequences (ECMA-48), and other control characters but
# line feeds.
_CONTROLS = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x09\x0b-\x1f]")


def _visible(line):
    """As on a terminal: behind a carriage return a line begins again, as those
    do that tell of progress."""
    return line.rstrip(b"\r").rpartition(b"\r")[2]


class Lines:
    """Cuts a stream of bytes into lines and hands each one on. An unfinished
    line (a prompt) is handed on when nothing has followed it for a while; if
    it goes on after all, the whole of it is handed on again: a slow machine
    breaks no line in two."""

    def __init__(self, write_line):
        self._write_line = write_line
        self._open = b""
        self._shown = None  # what was handed on of it
        self._since = 0.0

    def feed(self, data):
        *lines, self._open = (self._open + data).split(b"\n")
        self._since = time.monotonic()
        for line in lines:
            if _visible(line) != self._shown:
                self._write_line(_visible(line))
            self._shown = None
        if len(self._open) >= _LINE_BYTES:
            self.flush()
            self.take_open()

    def take_open(self):
        """What has no end yet, to be handed on by somebody else."""
        data, self._open, self._shown = self._open, b"", None
        return data

    def flush(self, older_than=0.0):
        text = _visible(self._open)
        if text.strip() and text != self._shown and \
                time.monotonic() - self._since >= older_than:
            self._write_line(text)
            self._shown = text


class Log:
    """Everything with wall-clock time stamps and channel names."""

    def __init__(self, file, path="log"):
        self._file = file
        self._path = path
        self._lines = {}

    def feed(self, name, data):
        if name not in self._lines:
            self._lines[name] = Lines(
                lambda line: self._write(name, line))
        self._lines[name].feed(data)

    def note(self, text):
        self._write("front", text.encode())

    def _write(self, name, line):
        now = datetime.datetime.now().isoformat("T", "milliseconds")
        with naming(self._path):
            self._file.write(f"{now} {name}| ".encode() + line + b"\n")
            self._file.flush()

    def close(self):
        with contextlib.suppress(OSError):  # it has been said before
            for lines in self._lines.values():
                lines.flush()
            self._file.close()


class Outputs:
    """Guests to standard output, Umbra to standard error, all to the log.

    What firmware and a boot loader print is shown only if `boot_shown`, or
    later on request: it belongs to a run that went wrong."""

    def __init__(self, guest_names, log=None, boot_shown=True):
        self._names = dict(enumerate(guest_names))
        self._log = log
        self._boot_shown = boot_shown
        self._boot = b""
        self._prefixed = len(guest_names) > 1
        self._lines = {}

    def name(self, channel):
        if channel in _NAMES:
            return _NAMES[channel]
        return self._names.get(channel - 1, f"guest{channel - 1}")

    def rename(self, guest, name):
        self._names[guest] = name

    def text(self, event):
        if self._log:
            self._log.feed(self.name(event.channel), event.data)
        if event.channel != mux.BOOT:
            self._end_boot()
        if event.channel == mux.BOOT and not self._boot_shown:
            self._boot = (self._boot + event.data)[-_BOOT_BYTES:]
        elif event.channel in _NAMES:
            write(sys.stderr, event.data)
        elif not self._prefixed:
            write(sys.stdout, event.data)
        else:
            self._guest_lines(event.channel).feed(event.data)

    def _guest_lines(self, channel):
        if channel not in self._lines:
            def line(data):
                prefix = f"{self.name(channel)}| ".encode()
                write(sys.stdout, prefix + data + b"\n")
            self._lines[channel] = Lines(line)
        return self._lines[channel]

    def _end_boot(self):
        """Shows what Umbra has said before it read its command line, the only
        words of interest in a boot that went well."""
        for line in _UMBRA_LINE.findall(self._boot):
            write(sys.stderr, line + b"\n")
        self._boot = b""

    def show_boot(self):
        """The last words of the boot loader, if they were not shown yet."""
        text = _CONTROLS.sub(b"", self._boot).strip()
        if text:
            write(sys.stderr, text + b"\n")
        self._boot, self._boot_shown = b"", True

    def keep(self, name, data):
        """Into the log only: who calls it shows it in another way."""
        if self._log:
            self._log.feed(name, data)

    def note(self, text):
        """A line of the front end's own."""
        write(sys.stderr, f"umbra: {text}\n".encode())
        if self._log:
            self._log.note(text)

    def tick(self):
        for lines in self._lines.values():
            lines.flush(older_than=_PARTIAL_LINE_SECONDS)

    def close(self):
        for lines in self._lines.values():
            lines.flush()
        if self._log:
            self._log.close()


def write(stream, data):
    """All of `data`, at once, even where somebody else who has the same
    terminal open has made it non-blocking."""
    stream.flush()
    fd = stream.fileno()
    with naming("standard output" if fd == 1 else "standard error"):
        while data:
            try:
                data = data[os.write(fd, data):]
            except BlockingIOError:
                select.select([], [fd], [])


class Keyboard:
    """Standard input. On a terminal every key goes to the guest but Ctrl-A,
    which starts a command: x quits, c changes between guest and monitor,
    1..9 selects a guest, Ctrl-A is itself. From a file or a pipe every byte
    goes to the first guest, and the end of the file ends nothing."""

    def __init__(self):
        self.fd = None
        self.channel = mux.guest_channel(0)
        self.quit = False
        self._guest = self.channel
        self._command = False
        self._saved = None
        self._selector = None  # that reports keys, if one does
        if sys.stdin is not None and not sys.stdin.closed:
            self.fd = sys.stdin.fileno()
        self.is_terminal = self.fd is not None and os.isatty(self.fd)

    def __enter__(self):
        if self.is_terminal and self._in_background():
            self._forget()  # reading would stop us
        elif self.is_terminal:
            self._saved = self.fd, termios.tcgetattr(self.fd)
            raw = termios.tcgetattr(self.fd)
            raw[0] &= ~(termios.ICRNL | termios.IXON | termios.ISTRIP)
            raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG
                        | termios.IEXTEN)
            raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.fd, termios.TCSADRAIN, raw)
        return self

    def _in_background(self):
        try:
            return os.tcgetpgrp(self.fd) != os.getpgrp()
        except OSError:  # a terminal, but not the one that controls us
            return False

    def __exit__(self, *_):
        if self._saved:
            fd, attributes = self._saved
            with contextlib.suppress(termios.error):  # it has hung up
                termios.tcsetattr(fd, termios.TCSADRAIN, attributes)

    def _forget(self):
        """Nobody types here, now or later."""
        if self._selector:
            self._selector.unregister(self.fd)
        self.fd = self._selector = None
        self.is_terminal = False

    def watch(self, selector, wanted, on_keys):
        """From now on the selector reports keys, or does not."""
        wanted = wanted and self.fd is not None
        if wanted and not self._selector:
            selector.register(self.fd, selectors.EVENT_READ, on_keys)
            self._selector = selector
        elif self._selector and not wanted:
            self._selector.unregister(self.fd)
            self._selector = None

    def read(self):
        """[(channel, bytes)] for the machine. The end of the input, and a
        terminal that hangs up, are told to nobody: no more keys come."""
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            data = b""
        if not data:
            self._forget()
            return []
        if not self.is_terminal:
            return [(self.channel, data)]
        return list(self.keys(data))

    def keys(self, data):
        plain = bytearray()
        for key in data:
            if not self._command:
                if key == _CTRL_A:
                    self._command = True
                else:
                    plain.append(key)
                continue
            self._command = False
            if key == _CTRL_A:
                plain.append(key)
                continue
            if plain:
                yield self.channel, bytes(plain)
                plain.clear()
            self._obey(key)
        if plain:
            yield self.channel, bytes(plain)

    def _obey(self, key):
        if key == ord("x"):
            self.quit = True
        elif key == ord("c"):
            at_monitor = self.channel == mux.MONITOR
            self.channel = self._guest if at_monitor else mux.MONITOR
        elif ord("1") <= key <= ord("9"):
            self._guest = self.channel = mux.guest_channel(key - ord("1"))
