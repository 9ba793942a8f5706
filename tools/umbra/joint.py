# SPDX-License-Identifier: MIT
"""What joins the links of two machines.

    with joint.Joint("net", engine, directory) as wire:
        first.link, second.link = wire.ends
        start(first)
        wire.wait()         # until the second can connect
        start(second)

Ports are free ones, found when the joint is made.
"""

import os
import shutil
import socket
import time
from dataclasses import dataclass

from .children import Child
from .trouble import Trouble

#: What each engine has, the best first.
KINDS = {"bochs": ("net", "uart"), "qemu": ("virtio", "net", "uart")}
_HUB_PORTS = 4  # two for each machine
_WAIT_SECONDS = 20
_MACS = ("52:54:00:75:6d:01", "52:54:00:75:6d:02")
_TCP_LISTENS, _UDP_IS_BOUND = "0A", "07"  # in /proc/net


@dataclass(frozen=True)
class End:
    """One machine's end: what an engine has to be told."""

    kind: str
    side: int  # 0 or 1
    port: int = 0
    device: str = ""  # more words for QEMU's device
    needs: tuple = ()  # devices of QEMU's that this one needs
    to: int = 0  # where QEMU's network sends to, if not to the other end

    def bochs(self):
        """Lines of a bochsrc."""
        if self.kind == "uart":
            mode = ("socket-server", "socket-client")[self.side]
            return (f"com2: enabled=1, mode={mode}, "
                    f"dev=127.0.0.1:{self.port}\n")
        return ("pci: enabled=1, chipset=i440fx, slot1=e1000\n"
                f"e1000: enabled=1, mac={_MACS[self.side]}, ethmod=socket, "
                f"ethdev={self.port + 2 * self.side}\n")

    def qemu(self):
        """Words of a command line."""
        return [*(word for device in self.needs
                  for word in ("-device", device)), *self._qemu_device()]

    def _qemu_device(self):
        if self.kind == "net":
            here = self.port + self.side
            there = self.to or self.port + 1 - self.side
            return ["-netdev", f"socket,id=link,udp=127.0.0.1:{there},"
                               f"localaddr=127.0.0.1:{here}",
                    "-device", f"{self.device or 'e1000'},netdev=link,"
                               f"mac={_MACS[self.side]}"]
        # No Unix socket: its name has room for 107 characters.
        where = f"host=127.0.0.1,port={self.port}"
        role = ("server=on,wait=off", "server=off")[self.side]
        words = ["-chardev", f"socket,id=link,{where},{role}"]
        if self.kind == "uart":
            return [*words, "-serial", "chardev:link"]
        return [*words, "-device", f"virtio-serial-pci{self.device}", "-device",
                "virtserialport,chardev=link,name=umbra.0"]


def _free_port(kind, count):
    """The first of so many neighbouring ports that nobody uses."""
    for _ in range(100):
        sockets = []
        try:
            first = 0
            for i in range(count):
                sockets.append(socket.socket(socket.AF_INET, kind))
                sockets[-1].bind(("127.0.0.1", first + i if i else 0))
                first = first or sockets[-1].getsockname()[1]
            return first
        except (OSError, OverflowError):
            continue
        finally:
            for each in sockets:
                each.close()
    raise Trouble("no free ports to join the machines with")


def _is_open(port, table, state):
    """Without a connection: a listener takes only one."""
    with open(f"/proc/net/{table}", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            words = line.split()
            if (words[3] == state
                    and int(words[1].rpartition(":")[2], 16) == port):
                return True
    return False


def _wait(is_there, what):
    until = time.monotonic() + _WAIT_SECONDS
    while not is_there():
        if time.monotonic() > until:
            raise Trouble(f"{what} does not open its end of the link")
        time.sleep(0.02)


class Joint:
    def __init__(self, kind, engine, directory, device="", needs=()):
        if kind not in KINDS[engine.NAME]:
            raise Trouble(f"--link {kind}: {engine.NAME} has "
                          + " and ".join(KINDS[engine.NAME]))
        self._kind = kind
        self._hub = None
        self._is_hubbed = kind == "net" and engine.NAME == "bochs"
        self._directory = directory
        if kind == "net":
            port = _free_port(socket.SOCK_DGRAM, _HUB_PORTS)
        else:
            port = _free_port(socket.SOCK_STREAM, 1)
        self.ends = [End(kind, side, port, device, needs)
                     for side in (0, 1)]

    def __enter__(self):
        if self._is_hubbed:
            program = shutil.which("bxhub")
            if not program:
                raise Trouble("bxhub is not installed; apt-get install bochs")
            self._hub = Child(
                [program, "-ports=2", f"-base={self.ends[0].port}"],
                self._directory, os.path.join(self._directory, "hub.out"))
            # What comes before it listens is lost.
            last = self.ends[0].port + _HUB_PORTS - 1
            _wait(lambda: _is_open(last, "udp", _UDP_IS_BOUND), "bxhub")
        return self

    def __exit__(self, *_):
        if self._hub:
            self._hub.kill()

    @property
    def child(self):
        """The program between both machines, where there is one."""
        return self._hub

    def why_ended(self):
        return ("bxhub, which joins the machines, has ended with status "
                f"{self._hub.ended()}")

    def wait(self):
        """Until the first machine is there for the second to connect to."""
        end = self.ends[0]
        if self._kind != "net":
            _wait(lambda: _is_open(end.port, "tcp", _TCP_LISTENS),
                  "the first machine")
