#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands in for Bochs and QEMU: connects to the front end and acts.

The environment variable FAKE_ENGINE names a file with a JSON list of steps:

    ["send", TEXT]      on the serial line; code points are bytes
    ["flood", TEXT] over and over, until nobody reads it any more
    ["echo", N]         sends N bytes back as they come in
    ["hold", N]         waits for N bytes, sends how many bytes there were
    ["sleep", SECONDS]
    ["file", PATH]      creates it: "I have come so far"
    ["spawn", PATH]     starts a child that sleeps; its number goes to PATH
    ["log", TEXT]       writes Bochs's log file
    ["say", TEXT]       on standard output
    ["kill"]            ends by a signal
    ["exit", STATUS]
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time


def connect():
    """As the configuration file or the command line says."""
    text = " ".join(sys.argv)
    if "-f" in sys.argv:
        with open(sys.argv[sys.argv.index("-f") + 1],
                  encoding="utf-8") as file:
            text = file.read()
    port = re.search(r"(?:dev=127\.0\.0\.1:|port=)(\d+)", text)[1]
    return socket.create_connection(("127.0.0.1", int(port)))


def receive(line, count):
    data = b""
    while len(data) < count:
        piece = line.recv(count - len(data))
        if not piece:
            sys.exit(98)
        data += piece
    return data


def write(path, text):
    # At once: whoever waits for the file finds it complete.
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".part", path)


def act(line, verb, *words):
    if verb == "send":
        line.sendall(words[0].encode("latin-1"))
    elif verb == "flood":
        while True:
            line.sendall(words[0].encode("latin-1"))
    elif verb == "echo":
        line.sendall(receive(line, words[0]))
    elif verb == "hold":
        line.sendall(str(len(receive(line, words[0]))).encode())
    elif verb == "sleep":
        time.sleep(words[0])
    elif verb == "file":
        write(words[0], str(os.getpid()))
    elif verb == "spawn":
        child = subprocess.Popen(["sleep", "600"])
        write(words[0], str(child.pid))
    elif verb == "log":
        write("bochs.log", words[0])
    elif verb == "say":
        print(words[0], flush=True)
    elif verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "exit":
        sys.exit(words[0])
    else:
        sys.exit(99)


def main():
    line = None
    with open(os.environ["FAKE_ENGINE"], encoding="utf-8") as file:
        play = json.load(file)
    for verb, *words in play:
        if verb in ("send", "flood", "echo", "hold") and line is None:
            line = connect()
        act(line, verb, *words)


main()
