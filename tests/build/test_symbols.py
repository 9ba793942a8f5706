# SPDX-License-Identifier: MIT
"""lib/symbol_table.c reads what tools/symbols.py writes, of the whole image."""

import ctypes
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import symbols


class Table(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("end", ctypes.c_void_p)]


class Symbol(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char * 64), ("offset", ctypes.c_uint64)]


def load_reader():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "reader.so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-I", ROOT, "-o",
                        path, ROOT / "lib/symbol_table.c"], check=True)
        find = ctypes.CDLL(str(path)).symbol_table_find
    find.argtypes = [ctypes.POINTER(Table), ctypes.c_uint64]
    find.restype = Symbol
    return find


class SymbolsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.reader = staticmethod(load_reader())

    def check(self, functions):
        """All of them are found, at their first byte and their last."""
        encoded = symbols.encode(functions)
        memory = ctypes.create_string_buffer(encoded, len(encoded))
        start = ctypes.addressof(memory)
        table = Table(start, start + len(encoded))
        ends = [address for address, _ in functions[1:]] + [1 << 32]
        for (address, name), end in zip(functions, ends):
            for asked in (address, end - 1):
                found = self.reader(ctypes.byref(table), asked)
                self.assertEqual((found.name.decode(), found.offset),
                                 (name, asked - address))

    def test_every_function_of_the_image_is_found(self):
        functions = symbols.functions("nm", ROOT / "build/umbra-first.elf64")
        self.assertGreater(len(functions), 1000)
        self.check(functions)

    def test_names_that_have_nothing_in_common_are_found(self):
        self.check([(0x10, "a"), (0x20, "b"), (0x100000, "c")])
        self.check([(0x10, "one_of_its_kind")])


if __name__ == "__main__":
    unittest.main()
