# SPDX-License-Identifier: MIT
"""A peer that is not Umbra, at the other end of a network link or of a serial
line: it says what a test wants, in the frames of docs/MIGRATION.md."""

import select
import socket
import struct
import time

import wire
from lib import Failure

_HEAD = struct.Struct("<IHBBIIIIQIHH")
_MAGIC, _VERSION, _SLOTS = 0x4d55, 2, 64
_HELLO, DATA, _ACK, _PING = 1, 2, 3, 4
_BODY_MAX = 1432  # of a frame
_NAME = 77  # of its stream
_PORT = 21837
_HEADERS = 14 + 20 + 8  # Ethernet, IPv4, UDP
_MAC = bytes.fromhex("0200000000aa")
_TO_ALL = b"\xff" * 6
_IPV4, _ARP = b"\x08\x00", b"\x08\x06"
_EVERY = 0.2  # seconds between words that are repeated
_SECONDS = 20


def _sum(data):
    words = struct.unpack(f">{len(data) // 2}H", data[:len(data) & ~1])
    total = sum(words) + (data[-1] << 8 if len(data) % 2 else 0)
    return ~(total % 0xffff) & 0xffff


def _address(text):
    return bytes(map(int, text.split(".")))


class _Stream:
    """Of frames. What carries them sends one (_carry), and says which have
    come (_come)."""

    def __init__(self):
        self._machine = 0  # the name of its stream
        self._got = 0  # all before this number have come from it
        self._asked = 0  # the number of its last PING
        self._put = []  # bodies that are its to have, by number
        self._sent = 0  # so many of them have been sent
        self._again_at = 0.0
        #: What the machine says that it has.
        self.due = self.seen = 0
        self._has_hung_up = False
        #: Bodies of the machine's frames, in order.
        self.bodies = []

    def say(self, kind, number, body=b""):
        self._carry(_HEAD.pack(0, _MAGIC, _VERSION, kind, _NAME, self._machine,
                               number, self._got, 0, self._got + _SLOTS,
                               len(body), self._asked) + body)

    def hear(self):
        """Whatever comes next, if anything comes soon."""
        for frame in self._come():
            self._on_frame(frame)

    def _on_frame(self, frame):
        (_, _, _, kind, sender, _, number, due, seen, _, length,
         _) = _HEAD.unpack_from(frame)
        self._machine = sender
        if kind == _HELLO:
            self.say(_HELLO, 0)
            return
        self.due, self.seen = due, seen
        if kind == _PING:
            self._asked = number & 0xffff
            self.say(_ACK, 0)
        if kind == DATA:
            if number == self._got:
                self.bodies.append(frame[_HEAD.size:_HEAD.size + length])
                self._got += 1
            self.say(_ACK, 0)

    def exchange(self, data):
        """A stream of bytes over it, to be called often: says these, and
        returns what has come."""
        self._put += [data[at:at + _BODY_MAX]
                      for at in range(0, len(data), _BODY_MAX)]
        while not self._has_hung_up and select.select([self], [], [], 0)[0]:
            self.hear()
        if time.monotonic() > self._again_at:
            self._sent = self.due
        for number in range(self._sent, min(len(self._put),
                                            self.due + _SLOTS)):
            self.say(DATA, number, self._put[number])
            self._sent = number + 1
            self._again_at = time.monotonic() + _EVERY
        bodies, self.bodies = self.bodies, []
        return b"".join(bodies)

    def until(self, is_so, what, say=lambda: None):
        """Says that again and again until it is so."""
        end = time.monotonic() + _SECONDS
        due = 0
        while not is_so():
            now = time.monotonic()
            if now > end:
                raise Failure(f"never: {what}")
            if now >= due:
                say()
                due = now + _EVERY
            self.hear()

    def greet(self):
        self.until(lambda: self._machine, "the machine greets")


class Peer(_Stream):
    """On a network: UDP in IPv4 in Ethernet. `end` is the machine's
    (tools/umbra/joint.py)."""

    def __init__(self, end, own_ip, machine_ip):
        super().__init__()
        self._ips = _address(own_ip) + _address(machine_ip)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", end.port + 1 - end.side))
        self._socket.connect(("127.0.0.1", end.port + end.side))
        self._socket.settimeout(0.02)

    def close(self):
        self._socket.close()

    def fileno(self):
        return self._socket.fileno()

    def _send(self, to, kind, payload):
        try:
            self._socket.send(to + _MAC + kind + payload)
        except ConnectionRefusedError:
            pass  # the machine is not there yet, or no longer

    def _carry(self, frame):
        length = 8 + len(frame)
        pseudo = self._ips + struct.pack(">HH", 17, length)
        udp = struct.pack(">HHH", _PORT, _PORT, length)
        check = _sum(pseudo + udp + frame) or 0xffff
        ip = struct.pack(">BBHHHBB", 0x45, 0, 20 + length, 0, 0x4000, 64, 17)
        self._send(_TO_ALL, _IPV4, ip
                   + struct.pack(">H", _sum(ip + self._ips)) + self._ips + udp
                   + struct.pack(">H", check) + frame)

    def ask_who_has(self, ip):
        """Nothing to do with a stream: what is broadcast on any network."""
        question = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + _MAC
        self._send(_TO_ALL, _ARP, (question + self._ips[:4] + bytes(6)
                                   + _address(ip)).ljust(46, b"\0"))

    def _come(self):
        try:
            frame = self._socket.recv(2048)
        except (TimeoutError, ConnectionRefusedError):
            return []
        if frame[12:14] != _IPV4 or len(frame) < _HEADERS + _HEAD.size:
            return []
        return [frame[_HEADERS:]]


def _stuff(frame):
    """Without a zero: each run has its length before it."""
    line = b""
    for run in frame.split(b"\0"):
        while len(run) >= 254:
            line += b"\xff" + run[:254]
            run = run[254:]
        line += bytes([len(run) + 1]) + run
    return line


def _unstuff(line):
    frame = b""
    while line:
        length = line[0]
        frame += line[1:length] + (b"\0" if length < 255 else b"")
        line = line[length:]
    return frame.removesuffix(b"\0")


class LinePeer(_Stream):
    """On a serial line, which is a connection."""

    def __init__(self, end):
        super().__init__()
        self._socket = socket.create_connection(("127.0.0.1", end.port))
        self._line = b""

    def close(self):
        self._socket.close()

    def fileno(self):
        return self._socket.fileno()

    def _carry(self, frame):
        crc = wire.crc32c(frame[4:]).to_bytes(4, "little")
        try:
            self._socket.sendall(b"\0" + _stuff(crc + frame[4:]) + b"\0")
        except OSError:
            self._has_hung_up = True

    def _come(self):
        try:
            data = self._socket.recv(65536)
        except OSError:
            data = b""
        self._has_hung_up |= not data
        self._line += data
        *lines, self._line = self._line.split(b"\0")
        frames = [_unstuff(line) for line in lines if line]
        return [frame for frame in frames if len(frame) >= _HEAD.size and
                frame[:4] == wire.crc32c(frame[4:]).to_bytes(4, "little")]
