"""Lists of traceable functions and kernel symbols from the texts of /proc and tracefs."""

from __future__ import annotations

from pytrace.kernel.functions import CandidateFunctions, ListedFunctions
from pytrace.kernel.info import FuncRef
from pytrace.kernel.kallsyms import Kallsyms

LISTED = b"""vfs_read
vfs_readv
__ftrace_invalid_address___0
tcp_sendmsg [tcp_mod]
vfs_read [overlay]
bpf_prog_1 [bpf] (1) T
"""

SYMBOLS = b"""ffffffff81000000 T _stext
ffffffff81000100 T __noinstr_text_start
ffffffff81000110 T closed
ffffffff81000200 T __noinstr_text_end
ffffffff81000300 t vfs_read.cold
ffffffff81000310 T vfs_read
ffffffff81000310 T vfs_read_alias
ffffffff81000400 W weak_one
ffffffff81000500 D table
ffffffff82000000 T _sinittext
ffffffff82000010 t boot_only
ffffffff82000100 T _einittext
ffffffffc0000000 t mod_read\t[mod]
ffffffffc0000100 t vfs_read\t[mod]
"""

TYPED = {"vmlinux": {b"vfs_read", b"closed", b"boot_only", b"table"}, "mod": {b"mod_read"}}


def names(found: list[FuncRef]) -> list[tuple[str, str]]:
    return [(f.name, f.module) for f in found]


def candidates() -> CandidateFunctions:
    return CandidateFunctions(
        SYMBOLS, lambda name, module: name.encode() in TYPED[module], lambda: TYPED
    )


def test_the_kernels_list_by_name_and_by_pattern() -> None:
    functions = ListedFunctions(LISTED)
    assert names(functions.find("vfs_read", "")) == [
        ("vfs_read", "overlay"),
        ("vfs_read", "vmlinux"),
    ]
    assert names(functions.find("vfs_read", "vmlinux")) == [("vfs_read", "vmlinux")]
    assert names(functions.find("vfs_*", "vm*")) == [
        ("vfs_read", "vmlinux"),
        ("vfs_readv", "vmlinux"),
    ]
    assert names(functions.find("bpf_prog_1", "")) == [("bpf_prog_1", "bpf")]
    assert functions.find("vfs", "") == []
    assert functions.find("", "") == []
    assert len(functions.find("*", "")) == 5


def test_candidates_have_a_symbol_in_an_open_section_and_a_prototype() -> None:
    assert names(candidates().find("*", "")) == [("mod_read", "mod"), ("vfs_read", "vmlinux")]
    assert names(candidates().find("vfs_read", "")) == [("vfs_read", "vmlinux")]
    assert candidates().find("closed", "") == []
    assert candidates().find("boot_only", "") == []
    assert candidates().find("table", "") == []
    assert candidates().find("weak_one", "") == []
    assert names(candidates().find("*", "mod")) == [("mod_read", "mod")]


def test_without_types_every_function_is_a_candidate() -> None:
    functions = CandidateFunctions(SYMBOLS)
    assert names(functions.find("*read", "")) == [
        ("mod_read", "mod"),
        ("vfs_read", "mod"),
        ("vfs_read", "vmlinux"),
    ]
    assert names(functions.find("vfs_read", "")) == [("vfs_read", "mod"), ("vfs_read", "vmlinux")]


def test_hidden_addresses_close_no_section() -> None:
    hidden = b"\n".join(b"0" * 16 + line[16:] for line in SYMBOLS.split(b"\n") if line)
    found = CandidateFunctions(hidden, lambda name, module: name == "closed").find("closed", "")
    assert names(found) == [("closed", "vmlinux")]
    assert Kallsyms(hidden).hidden
    assert Kallsyms(hidden).address("vfs_read") is None
    assert Kallsyms(hidden).has("vfs_read")
    assert Kallsyms(hidden).has("mod_read")
    assert not Kallsyms(hidden).has("read")
    assert not Kallsyms(hidden).has("")


def test_the_address_of_a_symbol() -> None:
    symbols = Kallsyms(SYMBOLS)
    assert symbols.address("vfs_read") == 0xFFFFFFFF81000310
    assert symbols.address("vfs_read", "mod") == 0xFFFFFFFFC0000100
    assert symbols.address("mod_read") == 0xFFFFFFFFC0000000
    assert symbols.address("read") is None
    assert symbols.address("vfs_read", "none") is None
    assert not symbols.hidden


def test_the_symbol_of_an_address() -> None:
    symbols = Kallsyms(SYMBOLS)
    assert symbols.find(0xFFFFFFFF81000315) == ("vfs_read", "", 5)
    assert symbols.find(0xFFFFFFFF81000309) == ("vfs_read.cold", "", 9)
    assert symbols.find(0xFFFFFFFFC0000101) == ("vfs_read", "mod", 1)
    assert symbols.find(0xFFFFFFFF80000000) is None
    assert symbols.find(0x400000) is None


def test_symbols_need_not_be_sorted() -> None:
    symbols = Kallsyms(b"\n".join(reversed(SYMBOLS.strip().split(b"\n"))))
    assert symbols.find(0xFFFFFFFF81000405) == ("weak_one", "", 5)


def test_no_symbols_at_all() -> None:
    assert Kallsyms(b"").find(0xFFFFFFFF81000405) is None
    assert Kallsyms(b"").hidden
    assert CandidateFunctions(b"").find("*", "") == []
