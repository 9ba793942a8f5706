# SPDX-License-Identifier: MIT
"""What the compiled image holds: no guest's SSE, no machine in pure objects.

The sources promise it; the objects prove it. Pure objects may need nothing but
other pure objects and the seams below, and hold no instruction that depends on
the machine they run on. No object of the image touches SSE or x87 registers:
those belong to the guests. One uses vector registers that no guest has, and one
moves a guest's for it.
"""

import re
import subprocess

#: What pure code needs from below, and who gives it.
SEAMS = {
    "check_failed": "lib/check.h: stops the machine, or the test",
    "log_line": "lib/log.h: the console, or the test's standard error",
    "phys_memory": "mm/phys.h: address 0, or an array",
    "serial_port_in": "drivers/serial_port.h: a UART, or a test's",
    "serial_port_ins": "drivers/serial_port.h: the same",
    "serial_port_out": "drivers/serial_port.h: the same",
    "serial_port_outs": "drivers/serial_port.h: the same",
    "vectors_any": "lib/vectors.h: wide registers, or false",
    "vectors_change": "lib/vectors.h: wide registers, or false",
    "vectors_copy": "lib/vectors.h: wide registers, or plain C",
    "vectors_fold": "lib/vectors.h: wide registers, or plain C",
}

IMAGE_LIMIT_BYTES = 512 * 1024

#: Privileged, or reads or changes the machine: not for pure code.
MACHINE = re.compile(
    r"^(cli|sti|hlt|in[bwl]?|out[bwl]?|ins[bwl]?|outs[bwl]?|rdmsr|wrmsr"
    r"|lgdt|lidt|lldt|ltr|sgdt|sidt|sldt|str|smsw|lmsw|clts|invd|wbinvd"
    r"|invlpg|invpcid|invept|invvpid|vm[a-z]+|rdtscp?|rdpmc|cpuid|xsetbv"
    r"|xgetbv|xsaves?\w*|xrstors?\w*|fxsave\w*|fxrstor\w*|swapgs|iret[wq]?"
    r"|sysret\w*|sysexit|syscall|sysenter|rdrand|rdseed|monitor|mwait"
    r"|(rd|wr)(fs|gs)base|int3?|lret\w*|ljmp\w*|lcall\w*)$")

#: A move to or from a control or debug register.
SPECIAL_REGISTER = re.compile(r"%(cr|db|dr)\d")

VECTOR_REGISTER = re.compile(r"%([xyz]?mm\d|st\b|k[0-7]\b)")

#: The one object that may use some, and those that no guest has.
VECTORS = "build/image/arch/x86/cpu/vectors.o"
NOBODYS_REGISTER = re.compile(r"%([xyz]mm(1[6-9]|2\d|3[01])|k[0-7])\b")

#: The one object that may move a guest's SSE registers, by this alone.
GUESTS_VECTORS = "build/image/arch/x86/cpu/xmm.o"
MOVES = re.compile(r"^(%xmm\d+,\(%r\w+\)|\(%r\w+\),%xmm\d+)$")

#: Works on the x87 stack without naming it.
X87_CALCULATION = re.compile(r"f(ld|st|add|sub|mul|div|i[a-z])")

#: "  1a:\tmov    %eax,%ebx"
INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t(?:(?:rep\w*|lock|bnd|notrack|"
                         r"data16|[c-gs]s) +)*(\S+)\s*(.*)$")
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")


def check_purity(tree):
    pure = objects(tree, "PURE")
    missing = [path for path in pure + objects(tree, "HARD", "ASM")
               if not tree.exists(path)]
    if missing:
        return [f"{path}: is not there; run make first" for path in missing]
    findings = list(check_undefined(tree, pure))
    for path in pure:
        findings += check_instructions(tree, path, machine_reason)
    reasons = {VECTORS: guest_vector_reason, GUESTS_VECTORS: move_reason}
    for path in objects(tree, "PURE") + objects(tree, "HARD", "ASM"):
        findings += check_instructions(tree, path,
                                       reasons.get(path, vector_reason))
    return findings + list(check_image_size(tree))


def objects(tree, *lists):
    found = []
    for name in lists:
        found += [f"build/image/{word}.o" for word in tree.make_words(name)]
    return found


def tool(tree, *command):
    return subprocess.run(command, cwd=tree.root, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def check_undefined(tree, pure):
    """Pure objects need only each other and the seams."""
    defined = set(SEAMS)
    needs = []
    for path in pure:
        for line in tool(tree, "nm", path).splitlines():
            kind, name = line.split()[-2:]
            if kind in "Uvw":
                needs.append((path, name))
            else:
                defined.add(name)
    for path, name in needs:
        if name not in defined:
            yield f"{path}: needs {name}, which no pure object defines"


def check_instructions(tree, path, reason):
    """Findings for the instructions of one object that `reason` objects to."""
    function = "?"
    for line in tool(tree, "objdump", "-d", "--no-show-raw-insn",
                     path).splitlines():
        start = FUNCTION.match(line)
        if start:
            function = start.group(1)
            continue
        found = INSTRUCTION.match(line)
        if found:
            why = reason(*found.groups())
            if why:
                text = " ".join(found.groups()).strip()
                yield f"{path}: {function}: {text}: {why}"


def machine_reason(mnemonic, operands):
    if MACHINE.match(mnemonic) or SPECIAL_REGISTER.search(operands):
        return "pure code does not touch the machine"
    return None


def vector_reason(mnemonic, operands):
    if VECTOR_REGISTER.search(operands) or X87_CALCULATION.match(mnemonic):
        return "the image uses no SSE, AVX or x87 register"
    return None


def guest_vector_reason(mnemonic, operands):
    if vector_reason(mnemonic, NOBODYS_REGISTER.sub("", operands)):
        return "this register may be a guest's"
    return None


def move_reason(mnemonic, operands):
    if mnemonic == "movups" and MOVES.match(operands):
        return None
    return vector_reason(mnemonic, operands)


def check_image_size(tree):
    image = "build/umbra.elf"
    if not tree.exists(image):
        return
    stripped = "build/check/umbra.stripped"
    (tree.root / "build/check").mkdir(parents=True, exist_ok=True)
    tool(tree, "strip", "--strip-all", "-o", stripped, image)
    size = (tree.root / stripped).stat().st_size
    if size > IMAGE_LIMIT_BYTES:
        yield f"{image}: {size} bytes stripped, limit {IMAGE_LIMIT_BYTES}"


CHECKS = {"purity": check_purity}
