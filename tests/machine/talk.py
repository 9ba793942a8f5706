# SPDX-License-Identifier: MIT
"""A conversation with a run: read what it says while it goes on, type keys.

The keys come from a terminal of the conversation's own, so that Ctrl-A works
as it does for a person.
"""

import os
import pty
import re
import selectors
import signal
import subprocess
import time

CTRL_A = "\x01"
QUIT = CTRL_A + "x"
MONITOR = CTRL_A + "c"  # and back to the guest
END_SECONDS = 15  # for a run to end once it was told to


class Silence(Exception):
    """What was expected has not come."""


class Talk:
    """Use it in a `with` block; at its end nothing is left running."""

    def __init__(self, words, folder, seconds):
        self.words = words
        self._end_by = time.monotonic() + seconds
        self._start = time.monotonic()
        self._text = {"out": "", "err": ""}
        keyboard, terminal = pty.openpty()
        self._keyboard = keyboard
        try:
            self._child = subprocess.Popen(
                words, cwd=folder, stdin=terminal, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE)
        finally:
            os.close(terminal)
        self._selector = selectors.DefaultSelector()
        for name in self._text:
            self._selector.register(getattr(self._child, f"std{name}"),
                                    selectors.EVENT_READ, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._selector.close()
        self._child.stdout.close()
        self._child.stderr.close()
        os.close(self._keyboard)

    def type(self, text):
        os.write(self._keyboard, text.encode())

    def interrupt(self):
        """What Ctrl-C does where it is not a key for the guest."""
        self._child.send_signal(signal.SIGINT)

    def expect(self, pattern, stream="out", after=0):
        """Waits for a match of the pattern behind `after`."""
        while True:
            found = re.compile(pattern, re.MULTILINE).search(
                self._text[stream], after)
            if found:
                return found
            if not self._read():
                other = {"out": "err", "err": "out"}[stream]
                raise Silence(f"std{stream} does not match {pattern!r}; it "
                              f"ends with {self._text[stream][-300:]!r}, "
                              f"std{other} with {self._text[other][-300:]!r}")

    def said(self, pattern):
        return self.expect(pattern, "err")

    def silence(self, seconds):
        """All that it says on standard output in the next seconds."""
        before = len(self._text["out"])
        stop = time.monotonic() + seconds
        while time.monotonic() < stop:
            self._read(stop)
        return self._text["out"][before:]

    def end(self):
        """Waits for the end: (status, out, err, seconds)."""
        while self._read():
            pass
        if self._selector.get_map():
            raise Silence("it has not ended; stderr ends with "
                          f"{self._text['err'][-300:]!r}")
        return (self._child.wait(END_SECONDS), self._text["out"],
                self._text["err"], time.monotonic() - self._start)

    def _read(self, until=None):
        """False at the end, of the run or of the time."""
        left = (until or self._end_by) - time.monotonic()
        ready = self._selector.select(left) if left > 0 else []
        for key, _ in ready:
            data = os.read(key.fd, 65536)
            if not data:
                self._selector.unregister(key.fileobj)
            text = data.decode("utf-8", "replace").replace("\r", "")
            self._text[key.data] += text
        return bool(ready) and bool(self._selector.get_map())
