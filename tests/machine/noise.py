# SPDX-License-Identifier: MIT
"""Links between two machines on which not everything arrives as it was sent:
joints (tools/umbra/joint.py) with somebody in between who does harm, by a
seed."""

import dataclasses
import random
import socket
import sys
import threading

from lib import ROOT

sys.path.insert(0, str(ROOT / "tools"))
# pylint: disable=wrong-import-position
from umbra import joint


class _Between:
    """Sockets, and a thread for each that ends when they are closed."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._sockets = []
        #: How often something was harmed.
        self.harmed = 0

    def _keep(self, each):
        self._sockets.append(each)
        return each

    def _start(self, work, *arguments):
        def until_closed():
            try:
                work(*arguments)
            except OSError:
                self.close()  # one side is gone: the other shall know

        threading.Thread(target=until_closed, daemon=True).start()

    def _is_hit(self, one_in):
        is_hit = self._random.randrange(one_in) == 0
        self.harmed += is_hit
        return is_hit

    def close(self):
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
            except OSError:
                pass
            each.close()


class _Line(_Between):
    """A serial line, as TCP: bytes get lost, doubled, changed, made up."""

    def __init__(self, port, seed, one_in):
        super().__init__(seed)
        self._one_in = one_in
        listener = self._keep(socket.create_server(("127.0.0.1", 0)))
        self.port = listener.getsockname()[1]
        self._start(self._join, listener, port)

    def _join(self, listener, port):
        second = self._keep(listener.accept()[0])
        first = self._keep(socket.create_connection(("127.0.0.1", port)))
        self._start(self._pump, first, second)
        self._pump(second, first)

    def _pump(self, source, sink):
        while True:
            data = source.recv(4096)
            if not data:
                raise OSError("the end of it")
            sink.sendall(b"".join(map(self._harm, data)))

    def _harm(self, byte):
        if not self._is_hit(self._one_in):
            return bytes([byte])
        other = self._random.randrange(256)
        return self._random.choice((b"", bytes([byte, byte]), bytes([other]),
                                    bytes([byte, other])))


class _Network(_Between):
    """Ethernet frames, as UDP: they get lost, doubled, changed, late."""

    def __init__(self, ports, seed, one_in):
        super().__init__(seed)
        self._one_in = one_in
        self._ports = ports
        self._late = []
        line = self._keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        line.bind(("127.0.0.1", 0))
        self.port = line.getsockname()[1]
        self._start(self._pump, line)

    def _pump(self, line):
        while True:
            data, source = line.recvfrom(65536)
            if not source:
                raise OSError("the end of it")
            sink = self._ports[1 - self._ports.index(source[1])]
            for frame, port in self._harm(data, sink):
                try:
                    line.sendto(frame, ("127.0.0.1", port))
                except ConnectionRefusedError:
                    pass  # it is not there yet, or no longer

    def _harm(self, frame, port):
        """What goes on its way now: frames, and where to."""
        if not self._is_hit(self._one_in):
            late, self._late = self._late, []
            return [(frame, port), *late]
        how = self._random.randrange(4)
        if how == 0:
            return []
        if how == 1:
            return [(frame, port)] * 2
        if how == 2:
            self._late.append((frame, port))
            return []
        changed = bytearray(frame)
        changed[self._random.randrange(len(frame))] ^= \
            1 << self._random.randrange(8)
        return [(bytes(changed), port)]


def noisy(seed, one_in):
    """A kind of joint, of whose bytes (a serial line) or frames (a network) one
    in so many is harmed; `harmed` of it says how many were."""

    class Noisy(joint.Joint):
        harmed = 0

        def __enter__(self):
            super().__enter__()
            first, second = self.ends
            if first.kind == "uart":
                self._between = _Line(first.port, seed, one_in)
                self.ends[1] = dataclasses.replace(second,
                                                   port=self._between.port)
            else:
                self._between = _Network((first.port, first.port + 1), seed,
                                         one_in)
                self.ends = [dataclasses.replace(end, to=self._between.port)
                             for end in self.ends]
            return self

        def __exit__(self, *arguments):
            Noisy.harmed = self._between.harmed
            self._between.close()
            return super().__exit__(*arguments)

    return Noisy
