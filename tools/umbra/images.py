# SPDX-License-Identifier: MIT
"""What a file given as a guest is, told by its content."""

import os
import struct
from dataclasses import dataclass

from . import elf
from .trouble import Trouble

# Multiboot Specification 0.6.96, "The layout of Multiboot header".
_MB1_MAGIC, _MB1_SEARCH = 0x1BADB002, 8192
_MB1_ADDRESSES = 1 << 16
# Multiboot2 Specification 2.0, "The layout of Multiboot2 header".
_MB2_MAGIC, _MB2_SEARCH = 0xE85250D6, 32768
# Linux/x86 boot protocol, "The Real-Mode Kernel Header".
_BZIMAGE_MAGIC_AT, _BZIMAGE_MAGIC = 0x202, b"HdrS"
_BZIMAGE_HEADER_BYTES = 0x268

_OTHER_KINDS = (
    (b"#!", "a script"),
    (b"\x1f\x8b", "gzip-compressed data; unpack it first"),
    (b"\xfd7zXZ\x00", "xz-compressed data; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data; unpack it first"),
    (b"070701", "a cpio archive; give it with --initrd"),
    (b"070702", "a cpio archive; give it with --initrd"),
    (b"QFI\xfb", "a qcow2 disk image"),
    (b"KDMV", "a VMDK disk image"),
    (b"!<arch>\n", "an archive of object files or a Debian package"),
    (b"PK\x03\x04", "a zip archive"),
    (b"MZ", "a DOS, Windows or EFI program"),
)


@dataclass(frozen=True)
class GuestImage:
    path: str
    kind: str  # "multiboot1", "multiboot2" or "bzImage"
    bits: int  # 32 or 64; of a bzImage 32
    size: int
    memory_end: int  # the guest needs memory at least up to here


def read_file(path, what, size=-1):
    """The content of a file, or its first `size` bytes; Trouble in one line
    if they cannot be had."""
    if not os.path.exists(path):
        raise Trouble(f"{what}: no such file: {path or repr(path)}")
    if os.path.isdir(path):
        raise Trouble(f"{what}: {path} is a directory")
    if not os.path.isfile(path):
        raise Trouble(f"{what}: {path} is a pipe or a device; copy it into a "
                      "file first")
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as error:
        raise Trouble(f"{what}: cannot read {path}: "
                      f"{error.strerror}") from None


def recognise(path):
    """The GuestImage in file `path`; Trouble says what it seems to be."""
    data = read_file(path, "guest")
    if data[_BZIMAGE_MAGIC_AT:_BZIMAGE_MAGIC_AT + 4] == _BZIMAGE_MAGIC:
        return _bzimage(path, data)
    multiboot = _multiboot(data)
    if multiboot is None:
        raise Trouble(f"guest: {path} is no guest: it seems to be "
                      f"{_seems(data, path)} (a guest is a multiboot kernel "
                      "or a Linux bzImage)")
    kind, has_addresses = multiboot
    if not data.startswith(elf.MAGIC):
        if has_addresses:
            raise Trouble(f"guest: {path} is a multiboot kernel that is not "
                          "an ELF file; Umbra loads ELF kernels only")
        raise Trouble(f"guest: {path} has a multiboot header but is no ELF "
                      "file and names no load addresses: it is damaged")
    parsed = elf.read(data, f"guest: {path}")
    if not parsed.segments:
        raise Trouble(f"guest: {path} has nothing to load")
    return GuestImage(path, kind, parsed.bits, len(data), parsed.end)


def _bzimage(path, data):
    if len(data) < _BZIMAGE_HEADER_BYTES:
        raise Trouble(f"guest: {path} is a Linux image that ends too early")
    version, = struct.unpack_from("<H", data, 0x206)
    if version < 0x20A:
        raise Trouble(f"guest: {path} is a Linux image of boot protocol "
                      f"{version >> 8}.{version & 255:02}; 2.10 is the oldest "
                      "that starts without a BIOS")
    preferred, init_size = struct.unpack_from("<QI", data, 0x258)
    return GuestImage(path, "bzImage", 32, len(data), preferred + init_size)


def _multiboot(data):
    """(kind, gives load addresses) of the first header found, or None."""
    found = _multiboot1(data)
    if found is not None:
        return "multiboot1", bool(found & _MB1_ADDRESSES)
    if _has_multiboot2(data):
        return "multiboot2", False
    return None


def _multiboot1(data):
    for at in range(0, min(len(data) - 11, _MB1_SEARCH - 11), 4):
        magic, flags, checksum = struct.unpack_from("<III", data, at)
        if magic == _MB1_MAGIC and (magic + flags + checksum) % 2**32 == 0:
            return flags
    return None


def _has_multiboot2(data):
    for at in range(0, min(len(data) - 15, _MB2_SEARCH - 15), 8):
        header = struct.unpack_from("<IIII", data, at)
        if header[0] == _MB2_MAGIC and sum(header) % 2**32 == 0:
            return True
    return False


def _seems(data, path):
    if not data:
        return "an empty file"
    if data.startswith(elf.MAGIC):
        try:
            parsed = elf.read(data, path)
        except Trouble as trouble:
            return str(trouble).split(": ", 1)[-1]
        return (parsed.not_a_kernel
                or "an ELF kernel without a multiboot header")
    if data[0x8001:0x8006] == b"CD001":
        return "a CD image; give the kernel inside it"
    for magic, kind in _OTHER_KINDS:
        if data.startswith(magic):
            return kind
    if data[510:512] == b"\x55\xaa":
        return "a boot sector or disk image"
    if all(32 <= byte < 127 or byte in b"\t\n\r" for byte in data[:512]):
        return "text"
    return "binary data of no known kind"
