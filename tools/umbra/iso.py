# SPDX-License-Identifier: MIT
"""A CD, or USB stick, that boots Umbra with its guests through GRUB.

BIOS:  El Torito image of GRUB, its modules beside it on the CD (loading them
       is faster than unpacking a larger image); the same as a hybrid MBR.
UEFI:  a FAT partition with one EFI program that has all modules inside.

Two CDs with the same content are the same byte for byte: every time stamp on
them is that of SOURCE_DATE_EPOCH, or else a fixed one, and the number by which
GRUB finds its CD again is a digest of the content.
"""

import contextlib
import enum
import hashlib
import os
import re
import shutil
import subprocess

from . import images
from .children import work_directory
from .trouble import Trouble

_EPOCH = "1700000000"  # any fixed moment would do
PROTOCOLS = ("multiboot2", "multiboot1")
_GRUB = "/usr/lib/grub"
_BIOS_CORE = ("biosdisk", "iso9660", "part_msdos", "part_gpt")
_BIOS_FILES = ("normal", "multiboot", "multiboot2", "serial", "terminal")
_EFI_MODULES = (*_BIOS_FILES, "iso9660", "part_msdos", "part_gpt",
                "search_fs_file", "all_video")
_SECTOR = 512
_TEMPLATE = os.path.join("iso", "grub.cfg")


class Terminal(enum.Enum):
    """Where GRUB shows its menu."""

    SERIAL = """\
insmod serial
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial"""
    NONE = ""  # COM1 belongs to the front end


def build(machine, output, root, terminal):
    """Writes the CD for `machine` to the file `output`."""
    tools = _tools()
    with work_directory() as work:
        tree = os.path.join(work, "cd")
        mark = _collect(machine, tree, root, terminal)
        _add_bios(tools, tree, work)
        efi = _efi_partition(tools, work, mark)
        made = os.path.join(work, "made.iso")
        _make_cd(tools, tree, efi, made)
        _copy(made, output)


def _copy(made, output):
    """All of it, or no new file."""
    is_new = not os.path.exists(output)
    try:
        shutil.copyfile(made, output)
    except BaseException as error:
        if is_new:
            with contextlib.suppress(OSError):
                os.remove(output)
        if isinstance(error, OSError):
            raise Trouble(f"cannot write {output}: "
                          f"{error.strerror}") from None
        raise


def _tools():
    """Command names to paths; Trouble names the packages that are missing."""
    packages = {"grub-mkimage": "grub-common", "xorriso": "xorriso",
                "mformat": "mtools", "mmd": "mtools", "mcopy": "mtools"}
    found = {name: shutil.which(name) for name in packages}
    missing = {packages[name] for name, path in found.items() if not path}
    for kind, package in (("i386-pc", "grub-pc-bin"),
                          ("x86_64-efi", "grub-efi-amd64-bin")):
        if not os.path.isdir(os.path.join(_GRUB, kind)):
            missing.add(package)
    if missing:
        raise Trouble("a CD needs more programs; apt-get install "
                      + " ".join(sorted(missing)))
    return found


def _run(argv, **options):
    environment = dict(os.environ, LC_ALL="C", TZ="UTC", MTOOLS_SKIP_CHECK="1",
                       SOURCE_DATE_EPOCH=_epoch())
    done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **options)
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
        raise Trouble(f"{os.path.basename(argv[0])} failed: "
                      f"{lines[-1] if lines else done.returncode}")


def _epoch():
    epoch = os.environ.get("SOURCE_DATE_EPOCH", _EPOCH)
    return epoch if epoch.isdigit() else _EPOCH


# --- What is on the CD -----------------------------------------------------

def _collect(machine, tree, root, terminal):
    """Fills the CD's tree; the path of the file that tells it from others."""
    boot = os.path.join(tree, "boot")
    os.makedirs(os.path.join(boot, "grub"))
    sources = [(machine.image, "umbra.elf")]
    sources += [(m.path, f"module{i}") for i, m in enumerate(machine.modules)]
    digest = hashlib.sha256()
    for path, name in sources:
        data = images.read_file(path, "CD")
        digest.update(hashlib.sha256(data).digest())
        with open(os.path.join(boot, name), "wb") as file:
            file.write(data)
    menu = _menu(machine, root, terminal)
    digest.update(menu.encode())
    with open(os.path.join(boot, "grub", "grub.cfg"), "w",
              encoding="utf-8") as file:
        file.write(menu)
    mark = f"/boot/{digest.hexdigest()[:16]}.id"
    with open(tree + mark, "w", encoding="ascii"):
        pass
    return mark


def _menu(machine, root, terminal):
    with open(os.path.join(root, _TEMPLATE), encoding="utf-8") as file:
        text = re.sub(r"^#.*\n", "", file.read(), flags=re.MULTILINE)

    def modules(command):
        return "\n\t".join(
            f"{command} /boot/module{i} {_quoted(m.string)}"
            for i, m in enumerate(machine.modules))

    words = {"TERMINAL": terminal.value,
             "TIMEOUT": "0" if terminal is Terminal.NONE else "3",
             "DEFAULT": machine.protocol,
             "OPTIONS": _quoted(machine.command_line),
             "MODULES1": modules("module"), "MODULES2": modules("module2")}
    return re.sub("@([A-Z0-9]+)@", lambda match: words[match[1]], text)


def _quoted(text):
    """`text` for GRUB's shell, word by word. GRUB adds quotes and backslashes
    of its own to words that hold such characters: refuse those."""
    if re.search(r"""['"\\]|  """, text) or text != text.strip():
        raise Trouble("GRUB cannot pass on quotes, backslashes or double "
                      f"blanks: {text}")
    return " ".join(f"'{word}'" for word in text.split())


# --- How it boots ----------------------------------------------------------

def _with_dependencies(kind, names):
    """GRUB's modules `names` and all that they need, sorted."""
    needs = {}
    with open(os.path.join(_GRUB, kind, "moddep.lst"),
              encoding="ascii") as file:
        for line in file:
            name, _, others = line.partition(":")
            needs[name] = others.split()
    wanted, queue = set(), list(names)
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue += needs.get(name, ())
    return sorted(wanted)


def _add_bios(tools, tree, work):
    kind = os.path.join(_GRUB, "i386-pc")
    place = os.path.join(tree, "boot", "grub", "i386-pc")
    os.makedirs(place)
    for name in _with_dependencies("i386-pc", _BIOS_FILES):
        shutil.copyfile(os.path.join(kind, f"{name}.mod"),
                        os.path.join(place, f"{name}.mod"))
    _run([tools["grub-mkimage"], "-O", "i386-pc-eltorito", "-d", kind,
          "-p", "/boot/grub", "-o", os.path.join(place, "eltorito.img"),
          *_BIOS_CORE], cwd=work)


def _efi_partition(tools, work, mark):
    """A FAT image just large enough for GRUB's EFI program."""
    config = os.path.join(work, "efi.cfg")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"search --file --set=root {mark}\n"
                   "set prefix=($root)/boot/grub\n")
    program = os.path.join(work, "BOOTX64.EFI")
    _run([tools["grub-mkimage"], "-O", "x86_64-efi",
          "-d", os.path.join(_GRUB, "x86_64-efi"), "-p", "/boot/grub",
          "-c", config, "-o", program, "search", *_EFI_MODULES])
    os.utime(program, (int(_epoch()),) * 2)
    partition = os.path.join(work, "efi.img")
    # FAT tables and directories of an image this small fit into 64 KiB.
    sectors = -(-os.path.getsize(program) // _SECTOR) + 128
    with open(partition, "wb") as file:
        file.truncate(sectors * _SECTOR)
    _run([tools["mformat"], "-i", partition, "-T", str(sectors), "-h", "1",
          "-s", "1", "-N", "554d4252", "-v", "UMBRA", "::"])
    _run([tools["mmd"], "-i", partition, "::/EFI", "::/EFI/BOOT"])
    _run([tools["mcopy"], "-m", "-i", partition, program, "::/EFI/BOOT"])
    return partition


def _make_cd(tools, tree, efi, output):
    epoch = int(_epoch())
    for folder, _, files in os.walk(tree):
        for name in (*files, "."):
            os.utime(os.path.join(folder, name), (epoch, epoch))
    os.utime(efi, (epoch, epoch))
    _run([tools["xorriso"], "-as", "mkisofs", "-quiet", "-r", "-V", "UMBRA",
          "-b", "boot/grub/i386-pc/eltorito.img", "-no-emul-boot",
          "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info",
          "--grub2-mbr", os.path.join(_GRUB, "i386-pc", "boot_hybrid.img"),
          "--efi-boot-part", "--efi-boot-image", "--protective-msdos-label",
          "--efi-boot", "efi.img", "-graft-points", "-o", output,
          f"efi.img={efi}", f"/={tree}"])
