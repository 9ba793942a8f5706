# SPDX-License-Identifier: MIT
"""A machine's serial line, which its engine connects to a port here."""

import selectors
import socket

_READ_BYTES = 65536


class Line:
    """What arrives goes to on_data, and what is sent waits until the machine
    takes it. A selector's data is what attends to its event."""

    def __init__(self, selector, on_data):
        self._selector = selector
        self._on_data = on_data
        self._pending = b""
        self._socket = None  # once the engine has connected, until it hangs up
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    @property
    def is_connected(self):
        return self._socket is not None

    @property
    def waiting(self):
        """Bytes that the machine has not taken yet."""
        return len(self._pending)

    def send(self, data):
        self._pending += data
        self._flush()

    def close(self):
        """The selector is not used any more."""
        self._listener.close()
        if self._socket:
            self._socket.close()

    def _accept(self, _events):
        self._socket, _ = self._listener.accept()
        self._selector.unregister(self._listener)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(self._socket, selectors.EVENT_READ,
                                self._serve)
        self._flush()

    def _serve(self, events):
        if events & selectors.EVENT_WRITE:
            self._flush()
        if events & selectors.EVENT_READ and self._socket:
            self._receive()

    def _receive(self):
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_data(data)
        else:
            self._hang_up()

    def _flush(self):
        if not self._socket:
            return
        try:
            sent = self._socket.send(self._pending) if self._pending else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._hang_up()
            return
        self._pending = self._pending[sent:]
        wanted = selectors.EVENT_READ
        if self._pending:
            wanted |= selectors.EVENT_WRITE
        self._selector.modify(self._socket, wanted, self._serve)

    def _hang_up(self):
        self._selector.unregister(self._socket)
        self._socket.close()
        self._socket = None
