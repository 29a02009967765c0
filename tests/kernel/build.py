"""A small C library with functions to probe, compiled for a test and loaded into it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tests import machine

NAME = "libprobed.so"
SOURCE = """
volatile unsigned short semaphore __attribute__((section(".probes"), visibility("default")));
__attribute__((noinline)) long callee(long a) { __asm__ volatile(""); return a + 1; }
__attribute__((noinline)) long second(long a) { __asm__ volatile(""); return a + 2; }
__attribute__((noinline)) long third(long a) { __asm__ volatile(""); return a + 3; }
"""


class Library:
    """The loaded library: calls its functions, knows file offsets of its symbols."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._dll = ctypes.CDLL(self.path)
        self._offsets: dict[str, int] = {}
        with path.open("rb") as file:
            elf = ELFFile(file)
            segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
            symbols = elf.get_section_by_name(".symtab")
            assert isinstance(symbols, SymbolTableSection)
            for symbol in symbols.iter_symbols():
                address = symbol["st_value"]
                for segment in segments:
                    start = segment["p_vaddr"]
                    if start <= address < start + segment["p_filesz"]:
                        self._offsets[symbol.name] = address - start + segment["p_offset"]

    def offset(self, name: str) -> int:
        """The file offset of a symbol, as uprobes count."""
        return self._offsets[name]

    def call(self, name: str, argument: int = 0) -> int:
        result: int = self._dll[name](ctypes.c_long(argument))
        return result

    @property
    def semaphore(self) -> int:
        return ctypes.c_ushort.in_dll(self._dll, "semaphore").value


def build_library(directory: Path) -> Library:
    """Load the library, compiled into ``directory`` unless it is there ready-made."""
    prebuilt = os.environ.get(machine.PREBUILT_VARIABLE, "")
    if prebuilt:
        # A copy, as probes sit on files: those of one test module are no other's.
        return Library(Path(shutil.copy2(Path(prebuilt) / NAME, directory)))
    return Library(compile_library(directory))


def compile_library(directory: Path) -> Path:
    """Compile the source into ``directory`` with gcc."""
    source = directory / "probed.c"
    source.write_text(SOURCE)
    target = directory / NAME
    command = ["gcc", "-O1", "-g", "-shared", "-fPIC", "-o", str(target), str(source)]
    subprocess.run(command, check=True)
    return target
