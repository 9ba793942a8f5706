# SPDX-License-Identifier: MIT
"""Every check of `make check` is shown faults, and must find each of them.

A case is a tiny tree: files that are right, some of them replaced by wrong
ones. The right tree must satisfy every check, so that what is found is the
fault and nothing else.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import check
import check_record
import tree as source_tree

MIT = "/* SPDX-License-Identifier: MIT */\n"

MAKEFILE = """\
FLOORS := mm arch/x86/cpu arch/x86/vmx
PURE := mm/page arch/x86/vmx/fields
HARD := arch/x86/cpu/vectors arch/x86/vmx/run
ASM :=
CPPFLAGS := -I.
CFLAGS := -std=gnu11 -O2 -ffreestanding -Wall -Wextra -Werror
HOST_CFLAGS := $(CFLAGS)
all: objects
print-%:
\t@:$(info $($*))
"""


def c(body):
    return MIT + textwrap.dedent(body)


def header(guard, body=""):
    return c(f"#ifndef {guard}\n#define {guard}\n{body}\n#endif\n")


SCRIPT = ("#!/bin/bash\n# SPDX-License-Identifier: MIT\n"
          "set -euo pipefail\n")

def instruction(text):
    """A source whose function f is that instruction."""
    return c(f"void f(void);\nvoid f(void)\n{{\n"
             f"\t__asm__ volatile(\"{text}\");\n}}\n")


TABLE = c("""\
    #include <stdio.h>

    int main(void)
    {
    \tputs("section 01 1 VM\\nlayout VM\\nfield a 1 4 ffffffff");
    \tputs("field b 2 1 f");
    \treturn 0;
    }
    """)

RIGHT = {
    "tools/s.sh": SCRIPT,
    "Makefile": MAKEFILE,
    ".clang-tidy": (ROOT / ".clang-tidy").read_text(),
    ".clang-format": (ROOT / ".clang-format").read_text(),
    "README.md": "Run `make all`, see `mm/X.h` and [it](docs/A.md).\n",
    "docs/A.md": "`./umbra run GUEST`\n",
    "docs/SDM.md": "| title | where |\n|---|---|\n| Paging | ch. 4 |\n",
    "umbra": ("#!/usr/bin/env python3\n# SPDX-License-Identifier: MIT\n"
              "print(\"commands:\\n    run       run a guest\")\n"),
    "tools/a.py": ("# SPDX-License-Identifier: MIT\nimport os\n"
                   "print(os.name)\n"),
    "mm/page.h": header("MM_PAGE_H", "\nint page_next(int page);\n"),
    "mm/page.c": c("#include \"mm/page.h\"\n\n/* SDM vol. 3, \"Paging\". */\n"
                   "int page_next(int page)\n{\n\treturn page + 1;\n}\n"),
    "arch/x86/cpu/msr.h": header("ARCH_X86_CPU_MSR_H", "\nint msr(void);\n"),
    "arch/x86/vmx/fields.c": c("#include \"mm/page.h\"\n"),
    "arch/x86/vmx/run.c": c("#include \"arch/x86/cpu/msr.h\"\n"),
    "arch/x86/cpu/vectors.c": instruction("vpxorq %zmm17, %zmm16, %zmm31"
                                          "{%k1}"),
}


def function(body):
    """mm/page.c, with a function that is right but for its body."""
    return c("#include \"mm/page.h\"\n\nint page_next(int page)\n{\n"
             + textwrap.indent(textwrap.dedent(body), "\t") + "}\n")


def settings(*names):
    """core/settings.c, which knows these."""
    return c("static const char *const known[] = {\n    "
             + ", ".join(f'"{name}"' for name in names) + ",\n};\n")


def settings_table(row):
    """docs/GUESTS.md with what the loader takes, and that row."""
    return ("## Its settings\n| `name=`, `mem=`, `cpus=`, `nested=on` | x |\n"
            f"| {row} | y |\n## Next\n")


#: What is wrong with these shows to who looks at both.
NULL_ELSEWHERE = {
    "mm/page.h": header("MM_PAGE_H", "\nstruct page { int next; };\n"
                        "\nint page_next(const struct page *page);\n"),
    "mm/page.c": c("#include \"mm/page.h\"\n\n"
                   "int page_next(const struct page *page)\n{\n"
                   "\treturn page->next + 1;\n}\n"),
    "mm/user.c": c("#include \"mm/page.h\"\n\nint use(void);\n"
                   "int use(void)\n{\n\treturn page_next(0);\n}\n"),
}



def mutant(**other):
    """A mutant of mm/page.c, its test and its row of the document."""
    words = {"old": "return page + 1;", "test": "next_is_next",
             "what": "No page has a next one."} | other
    return {
        "tests/mutants/a.txt": textwrap.dedent("""\
            == none_is_next
            {what}
            in mm/page.c
            killed by test_page {test}
            -- old
            {old}
            -- new
            return page;
            """).format(**words),
        "tests/unit/test_page.c": c("void next_is_next(void);\n"),
        "docs/TESTING.md": ("| mutant | in | what goes wrong | killed by |\n"
                            "|---|---|---|---|\n"
                            "| none_is_next | mm/page.c | No page has a next "
                            "one. | test_page: next_is_next |\n"),
    }


#: check: [(what is wrong, {file: its text}, what the finding must say)]
FAULTS = {
    "layers": [
        ("a lower floor includes a higher one",
         {"mm/page.c": c("#include \"arch/x86/cpu/msr.h\"\n")},
         r"mm/page\.c:2: mm may not include from arch/x86/cpu"),
        ("a guest that includes a part of Umbra",
         {"guests/g.c": c("#include \"mm/page.h\"\n")},
         r"guests/g\.c:2: guests may not include from mm"),
        ("Umbra includes a part of a guest",
         {"mm/page.c": c("#include \"guests/lib/g.h\"\n"),
          "guests/lib/g.h": header("GUESTS_LIB_G_H")},
         r"mm/page\.c:2: mm may not include from guests/lib"),
        ("a C library header",
         {"mm/page.c": c("#include <stdio.h>\n")},
         r"mm/page\.c:2: <stdio\.h> is not a freestanding header"),
        ("a path that does not start at the root",
         {"mm/page.c": c("#include \"page.h\"\n")},
         r"mm/page\.c:2: \"page\.h\" names no floor"),
        ("a header that is not there",
         {"mm/page.c": c("#include \"mm/frame.h\"\n")},
         r"\"mm/frame\.h\" does not exist"),
        ("a source that is included",
         {"arch/x86/vmx/run.c": c("#include \"mm/page.c\"\n")},
         r"is compiled, not included"),
        ("a pure file that reaches a hard floor through a header",
         {"arch/x86/vmx/fields.c": c("#include \"arch/x86/vmx/f.h\"\n"),
          "arch/x86/vmx/f.h": header("ARCH_X86_VMX_F_H",
                                     "#include \"arch/x86/cpu/msr.h\"")},
         r"fields\.c: is pure, but reaches arch/x86/cpu/msr\.h"),
        ("a source that nobody compiles",
         {"mm/lost.c": c("int lost;\n")},
         r"mm/lost\.c: is in no object list"),
        ("a floor without a rule",
         {"Makefile": MAKEFILE.replace("FLOORS := mm", "FLOORS := mm attic")},
         r"has no rule for attic"),
        ("an object without a source",
         {"Makefile": MAKEFILE.replace("mm/page", "mm/page mm/gone")},
         r"lists mm/gone\.c, which does not exist"),
        ("an address that is looked into",
         {"mm/page.c": c("int f(gpa_t a)\n{\n\treturn a.gpa_value;\n}\n")},
         r"mm/page\.c:4: looks inside an address"),
        ("an address that is cast into another space",
         {"mm/page.c": c("#define TO_HOST(x) hpa(gpa_raw(x))\n")},
         r"turns gpa_t into hpa_t"),
    ],
    "guest-writes": [
        ("a pointer to any memory",
         {"arch/x86/vmx/run.c": function("*(int *)phys_ptr(hpa(page)) = 1;\n"
                                         "return 0;\n")},
         r"vmx/run\.c:6: makes a pointer of an address"),
        ("a frame of a guest",
         {"arch/x86/vmx/run.c": function("return (int)guest_mem_frame(0);\n")},
         r"vmx/run\.c:6: asks for a guest's frames"),
    ],
    "guards": [
        ("a guard of another name",
         {"mm/page.h": header("PAGE_H")}, r"must be MM_PAGE_H"),
        ("no guard", {"mm/page.h": c("int page;\n")}, r"must be MM_PAGE_H"),
        ("an empty header", {"mm/page.h": MIT}, r"must be MM_PAGE_H"),
    ],
    "style": [
        ("a bool parameter",
         {"mm/page.h": header("MM_PAGE_H", "/* Why\n */\nMUST_CHECK int f("
                              "int page,\n\t      bool dirty) UNUSED;\n")},
         r"mm/page\.h:6: f takes a bool"),
    ],
    "licence": [
        ("a C file", {"mm/page.c": "int page;\n"}, r"mm/page\.c:1: no SPDX"),
        ("a script", {"umbra": "#!/bin/sh\ntrue\n"}, r"umbra:1: no SPDX"),
        ("an empty source", {"mm/page.c": ""}, r"mm/page\.c:1: no SPDX"),
    ],
    "shell": [
        ("a script that does not parse",
         {"tools/s.sh": SCRIPT + "if true\n"}, r"s\.sh: line \d+: syntax"),
        ("a script that goes on after a failure",
         {"tools/s.sh": SCRIPT.replace("-euo pipefail", "-u")},
         r"s\.sh:1: lacks set -euo pipefail"),
    ],
    "text": [
        ("blanks", {"mm/page.c": c("int page; \n")}, r":2: blanks"),
        ("no end", {"docs/A.md": "x"}, r"the last line has no end"),
        ("empty line", {"docs/A.md": "x\n\n"}, r"ends with an empty line"),
        ("a mark", {"mm/page.c": c("/* TO" "DO: later */\n")}, r":2: TO" "DO"),
    ],
    "python": [
        ("a syntax error", {"tools/a.py": "def f(:\n"}, r"a\.py:1: "),
        ("an unused import",
         {"tools/a.py": "import os\nimport sys\nprint(sys.path)\n"},
         r"a\.py:1: os is imported"),
        ("a long line", {"tools/a.py": "x = '" + "y" * 90 + "'\n"},
         r"a\.py:1: longer than"),
        ("a script without an ending",
         {"umbra": "#!/usr/bin/env python3\nimport os\n"},
         r"umbra:2: os is imported"),
    ],
    "docs": [
        ("a path", {"docs/A.md": "`mm/paging.h`\n"},
         r"A\.md:1: `mm/paging\.h` does not exist"),
        ("a file name", {"docs/A.md": "`NOTES.md`\n"},
         r"`NOTES\.md` does not exist"),
        ("a pattern", {"docs/A.md": "`mm/frame_*.c`\n"}, r"does not exist"),
        ("a target", {"docs/A.md": "Type:\n\n    make coffee\n"},
         r"A\.md:3: there is no `make coffee`"),
        ("a command", {"docs/A.md": "`./umbra fly`\n"},
         r"there is no `\./umbra fly`"),
        ("a link", {"docs/A.md": "[x](../GONE.md)\n"}, r"leads nowhere"),
    ],
    "sdm": [
        ("a section that the table lacks",
         {"mm/page.h": header("MM_PAGE_H", "/*\n * See SDM vol. 3, \"PDPTE\n"
                              " * Registers\", \"Paging\". */\n"),
          "mm/page.c": c("#include \"mm/page.h\"\n")},
         r"mm/page\.h: cites \"PDPTE Registers\""),
        ("a section that nothing cites",
         {"mm/page.c": c("#include \"mm/page.h\"\n")},
         r"SDM\.md:3: nothing cites \"Paging\""),
    ],
    "record": [
        ("a field that the document lacks",
         {"docs/RECORD.md": check_record.BEGIN + "\n## 01 VM, version 1\n\n" +
          check_record.HEAD + "| 0 | 4 | a | any | first |\n",
          "tests/unit/record_table.c": TABLE}, r"RECORD\.md is not what"),
        ("a field that means nothing",
         {"docs/RECORD.md": check_record.BEGIN + "\n## 01 VM, version 1\n\n" +
          check_record.HEAD + "| 0 | 4 | a | any | first |\n"
          "| 4 | 2 x 1 | b | fH |  |\n",
          "tests/unit/record_table.c": TABLE}, r"what b of section 01 means"),
    ],
    "clauses": [
        ("a function that is none",
         {"docs/NESTED-CHECKS.md": "| x | `gone` | `PAGE` |\n",
          "nested/rules.h": "X(PAGE, text)\n"}, r"CHECKS\.md:1: .* no gone"),
        ("a rule that is forgotten",
         {"docs/NESTED-CHECKS.md": "| x | | |\n",
          "nested/rules.h": "X(PAGE, text)\n"}, r"the rule PAGE is missing"),
    ],
    "mutants": [
        ("a line that has changed", mutant(old="return page + 2;"),
         r"none_is_next: stands 0 times, not once, in mm/page\.c"),
        ("a test that is gone", mutant(test="gone"),
         r"none_is_next: tests/unit/test_page\.c has no gone"),
        ("another sentence in the document", mutant(what="Wrong."),
         r"TESTING\.md: the table of mutants is not what"),
    ],
    "floors": [
        ("a floor that the table lacks",
         {"docs/ARCHITECTURE.md": "| `mm/` | pure | pages | |\n"},
         r"lacks arch/x86/vmx/"),
        ("a floor that may use less than it says",
         {"docs/ARCHITECTURE.md": "| `mm/` | pure | pages | lib |\n"
          "| `arch/x86/vmx/` | hard | guests | pml mm |\n"},
         r"ARCHITECTURE\.md:2: arch/x86/vmx may use arch/x86/cpu mm"),
    ],
    "settings": [
        ("a setting that the table lacks",
         {"core/settings.c": settings("pin", "reset"),
          "docs/GUESTS.md": settings_table("`pin=0,1`")},
         r"GUESTS\.md: the table of settings lacks reset="),
        ("a setting that the code does not know",
         {"core/settings.c": settings("pin"),
          "docs/GUESTS.md": settings_table("`pin=0,1`, `gone=on`")},
         r"GUESTS\.md: core/settings\.c knows no gone="),
    ],
    "format": [
        ("four blanks for a tab",
         {"mm/page.c": c("int f(void)\n{\n    return 1;\n}\n")},
         r"mm/page\.c:\d+:\d+: error: "),
        ("rules that clang-format cannot read",
         {".clang-format": "Nonsense: yes\n"}, r"Nonsense"),
    ],
    "headers": [
        ("a header that needs another one before it",
         {"mm/page.h": header("MM_PAGE_H", "\nu64 page_next(u64 page);\n")},
         r"mm/page\.h:.*unknown type name"),
    ],
    "cppcheck": [
        ("a store past the end",
         {"mm/page.c": function("int pages[4];\n\npages[4] = page;\n"
                                "return pages[4];\n")},
         r"mm/page\.c:8: arrayIndexOutOfBounds"),
        ("a null pointer for another file", NULL_ELSEWHERE,
         r"mm/page\.c:6: ctunullpointer"),
    ],
    "tidy": [
        ("a function of 60 lines",
         {"mm/page.c": function("page += page;\n" * 60 + "return page;\n")},
         r"readability-function-size"),
        ("what only clang warns of",
         {"mm/page.c": function("page = page;\nreturn page;\n")},
         r"clang-diagnostic-self-assign"),
    ],
    "analyzer": [
        ("a null pointer",
         {"mm/page.c": function("int *at = page > 1 ? &page : (int *)0;\n\n"
                                "return *at;\n")},
         r"clang-analyzer-core\.NullDereference"),
    ],
    "purity": [
        ("a privileged instruction",
         {"mm/page.c": instruction("cli")},
         r"mm/page\.o: f: cli: pure code does not touch the machine"),
        ("a port behind a prefix",
         {"mm/page.c": instruction("rep outsb")}, r"f: outsb "),
        ("a VMX instruction",
         {"mm/page.c": instruction("vmread %rax, %rcx")}, r"f: vmread "),
        ("a control register",
         {"mm/page.c": instruction("mov %cr3, %rax")}, r"f: mov %cr3,%rax"),
        ("a function that no pure object has",
         {"mm/page.c": c("void outside(void);\nvoid f(void);\n"
                         "void f(void)\n{\n\toutside();\n}\n")},
         r"mm/page\.o: needs outside"),
        ("a vector register in a hard object",
         {"arch/x86/vmx/run.c": instruction("pxor %xmm1, %xmm0")},
         r"vmx/run\.o: f: pxor %xmm1,%xmm0: the image uses no SSE"),
        ("a vector register that may be a guest's",
         {"arch/x86/cpu/vectors.c": instruction("vpxorq %zmm1, %zmm16, %zmm17")
          }, r"cpu/vectors\.o: f: vpxorq .*: this register may be a guest's"),
        ("one that no guest has, elsewhere",
         {"arch/x86/vmx/run.c": instruction("vpxorq %zmm17, %zmm16, %zmm31")},
         r"vmx/run\.o: f: vpxorq .*: the image uses no SSE"),
        ("the x87 unit in a hard object",
         {"arch/x86/vmx/run.c": instruction("fld1")}, r"vmx/run\.o: f: fld1"),
    ],
}


def plant(folder, faults):
    """Writes the right tree with some files replaced."""
    root = pathlib.Path(folder)
    for path, text in (RIGHT | faults).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return source_tree.Tree(root)


def compile_objects(tree):
    """What the purity check looks at."""
    for source in ("mm/page", "arch/x86/vmx/fields", "arch/x86/vmx/run",
                   "arch/x86/cpu/vectors"):
        target = tree.root / f"build/image/{source}.o"
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-I.", "-O2", "-ffreestanding", "-w", "-c",
                        source + ".c", "-o", target], cwd=tree.root,
                       check=True)


def findings(name, faults):
    with tempfile.TemporaryDirectory() as folder:
        tree = plant(folder, faults)
        if name == "purity":
            compile_objects(tree)
        return list(check.CHECKS[name](tree))


class Checks(unittest.TestCase):
    def test_every_check_is_shown_a_fault(self):
        self.assertEqual(set(FAULTS), set(check.CHECKS))

    def test_right_tree_satisfies_every_check(self):
        for name in check.CHECKS:
            with self.subTest(check=name):
                self.assertEqual(findings(name, {}), [])

    def test_image_over_its_limit_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            tree = plant(folder, {"big.c": "char big[1 << 20] = {1};\n"
                                  "int main(void)\n{\n\treturn 0;\n}\n"})
            compile_objects(tree)
            subprocess.run(["gcc", "big.c", "-o", "build/umbra.elf"],
                           cwd=folder, check=True)
            found = list(check.CHECKS["purity"](tree))
        self.assertEqual(len(found), 1, found)
        self.assertRegex(found[0], r"umbra\.elf: \d+ bytes stripped")

    def test_objects_that_were_not_built_are_missed(self):
        with tempfile.TemporaryDirectory() as folder:
            found = list(check.CHECKS["purity"](plant(folder, {})))
        self.assertIn("build/image/mm/page.o: is not there; run make first",
                      found)

    def test_finding_is_not_forgotten_by_the_second_run(self):
        """The slow checks remember clean files only."""
        for name, faults in (("tidy", FAULTS["tidy"][0][1]),
                             ("cppcheck", NULL_ELSEWHERE)):
            with self.subTest(check=name), \
                    tempfile.TemporaryDirectory() as folder:
                tree = plant(folder, faults)
                first = list(check.CHECKS[name](tree))
                second = list(check.CHECKS[name](tree))
                self.assertTrue(first)
                self.assertEqual(first, second)

    def test_changed_header_is_looked_at_again(self):
        with tempfile.TemporaryDirectory() as folder:
            before = plant(folder, {})
            self.assertEqual(list(check.CHECKS["headers"](before)), [])
            after = plant(folder, FAULTS["headers"][0][1])
            self.assertTrue(list(check.CHECKS["headers"](after)))


def fault_test(name, faults, pattern):
    def test(self):
        found = findings(name, faults)
        self.assertTrue(any(re.search(pattern, text, re.DOTALL)
                            for text in found), found or "found nothing")
    return test


for check_name, cases in FAULTS.items():
    for words, wrong_files, wanted in cases:
        setattr(Checks, f"test_{check_name}_{words}".replace(" ", "_"),
                fault_test(check_name, wrong_files, wanted))
