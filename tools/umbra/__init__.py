# SPDX-License-Identifier: MIT
"""Umbra's command-line front end: runs the hypervisor in an emulator.

Floors, lowest first; a module imports only from those above it:

    trouble sizes mux       errors, "512M", several consoles on one line
    elf images              what a guest file is
    machine fastboot iso    what is put into the machine and how it boots
    children bochs qemu engines     the emulators
    console session         the terminal, and one run from start to end
    cli                     what the user typed
"""
