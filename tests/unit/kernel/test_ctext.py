"""C text of types, from blobs made type by type."""

from __future__ import annotations

import pytest

from pytrace.kernel.btf import Btf
from pytrace.kernel.ctext import CText
from pytrace.kernel.info import FuncText
from pytrace.kernel.texts import KernelTypeTexts
from tests.unit.kernel.blobs import CONST, FWD, SIGNED, TYPE_TAG, TYPEDEF, VOLATILE, Blob


class Types:
    """A blob with some base types, and the texts that come of it."""

    def __init__(self) -> None:
        self.blob = Blob()
        self.int = self.blob.integer("int", 4, SIGNED)
        self.char = self.blob.integer("char", 1)
        self.u64 = self.blob.integer("long unsigned int", 8)
        self.short = self.blob.integer("short int", 2, SIGNED)
        self.sock = self.blob.add(FWD, "sock", 0)

    def text(self) -> CText:
        return CText(Btf(self.blob.data()))

    def modified(self, kind: int, to: int) -> int:
        return self.blob.add(kind, "", to)


@pytest.fixture
def types() -> Types:
    return Types()


def test_pointers_qualifiers_and_typedefs(types: Types) -> None:
    b = types.blob
    name = b.add(TYPEDEF, "name_t", types.char)
    const_char = types.modified(CONST, types.char)
    shown = {
        types.int: "int",
        0: "void",
        b.ptr(types.sock): "struct sock *",
        b.ptr(b.ptr(0)): "void **",
        b.ptr(name): "name_t *",
        b.ptr(const_char): "const char *",
        types.modified(CONST, b.ptr(const_char)): "const char * const",
        types.modified(VOLATILE, types.modified(CONST, types.int)): "volatile const int",
        b.ptr(b.add(TYPE_TAG, "user", const_char)): "const char *",
    }
    text = types.text()
    assert {type_id: text.type(type_id) for type_id in shown} == shown


def test_functions_and_arrays_in_declarations(types: Types) -> None:
    b = types.blob
    callback = b.ptr(b.proto(types.int, ("", b.ptr(types.sock)), ("", types.u64)))
    plain = b.ptr(b.proto(0))
    variadic = b.ptr(b.proto(b.ptr(types.sock), ("", types.int), ("", 0)))
    rows = b.array(b.array(types.char, 16), 4)
    text = types.text()
    assert text.type(callback) == "int (*)(struct sock *, long unsigned int)"
    assert text.declaration(callback, "show") == "int (*show)(struct sock *, long unsigned int)"
    assert text.declaration(plain, "f") == "void (*f)(void)"
    assert text.declaration(variadic, "get") == "struct sock *(*get)(int, ...)"
    assert text.declaration(rows, "names") == "char names[4][16]"


def test_pointers_to_arrays_and_constant_arrays(types: Types) -> None:
    b = types.blob
    pointer = b.ptr(b.array(types.char, 6))
    constant = types.modified(CONST, b.array(types.modified(CONST, types.char), 8))
    calls = b.array(b.ptr(b.proto(types.int, ("", 0))), 3)
    text = types.text()
    assert text.declaration(pointer, "addr") == "char (*addr)[6]"
    assert text.declaration(constant, "raid_name") == "const char raid_name[8]"
    assert text.declaration(calls, "ops") == "int (*ops[3])(...)"


def test_anonymous_members_are_written_out(types: Types) -> None:
    b = types.blob
    inner = b.struct("", 8, ("hash", types.int, 0), ("len", types.int, 32))
    either = b.struct("", 8, ("", inner, 0), ("hash_len", types.u64, 0), union=True)
    outer = b.struct("qstr", 16, ("", either, 0), ("name", b.ptr(types.char), 64))
    assert types.text().definition(outer) == (
        "struct qstr {\n"
        "\tunion {\n"
        "\t\tstruct {\n"
        "\t\t\tint hash;\n"
        "\t\t\tint len;\n"
        "\t\t};\n"
        "\t\tlong unsigned int hash_len;\n"
        "\t};\n"
        "\tchar *name;\n"
        "};\n"
    )


def test_enums(types: Types) -> None:
    b = types.blob
    plain = b.enum("pid_type", 4, ("PIDTYPE_PID", 0), ("PIDTYPE_MAX", -1), signed=True)
    small = b.enum("mode", 1, ("OFF", 0))
    wide = b.enum64("big", ("TOP", 2**64 - 1))
    text = types.text()
    assert (
        text.definition(plain) == "enum pid_type {\n\tPIDTYPE_PID = 0,\n\tPIDTYPE_MAX = -1,\n};\n"
    )
    assert text.definition(small) == "enum mode {\n\tOFF = 0,\n} __attribute__((mode(byte)));\n"
    assert text.definition(wide) == "enum big {\n\tTOP = 18446744073709551615ULL,\n};\n"


def test_bit_fields_and_their_gaps(types: Types) -> None:
    flags = types.blob.struct(
        "flags", 8, ("a", types.int, 0, 3), ("b", types.int, 4, 2), ("c", types.int, 32, 8)
    )
    assert types.text().definition(flags) == (
        "struct flags {\n\tint a: 3;\n\tchar: 1;\n\tint b: 2;\n\tshort: 16;\n\tint c: 8;\n};\n"
    )


def test_gaps_that_alignment_does_not_make(types: Types) -> None:
    b = types.blob
    lines = b.struct("lines", 128, ("hot", types.int, 0), ("cold", types.u64, 512))
    assert types.text().definition(lines) == (
        "struct lines {\n\tint hot;\n" + "\tlong: 64;\n" * 7 + "\tlong unsigned int cold;\n"
        + "\tlong: 64;\n" * 7 + "};\n"
    )  # fmt: skip


def test_natural_gaps_need_nothing(types: Types) -> None:
    mixed = types.blob.struct("mixed", 16, ("c", types.char, 0), ("n", types.u64, 64))
    assert (
        types.text().definition(mixed) == "struct mixed {\n\tchar c;\n\tlong unsigned int n;\n};\n"
    )


def test_packed_structs(types: Types) -> None:
    b = types.blob
    by_offset = b.struct("by_offset", 9, ("c", types.char, 0), ("n", types.u64, 8))
    by_size = b.struct("by_size", 5, ("n", types.int, 0), ("c", types.char, 32))
    around = b.struct("around", 10, ("c", types.char, 0), ("p", by_offset, 8))
    text = types.text()
    packed = "} __attribute__((packed));\n"
    assert text.definition(by_offset).endswith(packed)
    assert text.definition(by_size).endswith(packed)
    assert text.definition(around).endswith("\tstruct by_offset p;\n};\n")


def test_empty_structs(types: Types) -> None:
    b = types.blob
    nothing = b.struct("", 0)
    outer = b.struct("outer", 0, ("__empty", nothing, 0))
    assert types.text().definition(outer) == "struct outer {\n\tstruct {} __empty;\n};\n"


def a_kernel() -> tuple[Btf, Btf]:
    """vmlinux with a function and a raw tracepoint, and a module with a type of the same name."""
    types = Types()
    b = types.blob
    b.function("f", types.int, ("sk", b.ptr(types.sock)), ("", 0))
    b.add(TYPEDEF, "btf_trace_ev", b.ptr(b.proto(0, ("", b.ptr(0)), ("", types.int))))
    b.function("__probestub_ev", 0, ("__data", b.ptr(0)), ("count", types.int))
    b.struct("item", 4, ("n", types.int, 0))
    module = Blob(base=b)
    module.struct("item", 8, ("n", types.u64, 0))
    module.function("g", 0, ("n", types.int))
    base = Btf(b.data())
    return base, Btf(module.data(), base=base, module="mod")


def test_prototypes_of_functions_and_raw_tracepoints() -> None:
    texts = KernelTypeTexts(lambda word: a_kernel())
    assert texts.function("f", "") == FuncText(
        params=(("struct sock *", "sk"), ("...", "")), returns="int"
    )
    assert texts.function("f", "mod") is None
    assert texts.function("g", "mod") == FuncText(params=(("int", "n"),), returns="void")
    assert texts.raw_tracepoint("ev", "") == FuncText(params=(("int", "count"),), returns="void")
    assert texts.raw_tracepoint("nothing", "") is None


def test_definitions_of_the_kernel_and_its_modules() -> None:
    texts = KernelTypeTexts(lambda word: a_kernel())
    assert texts.names("struct", "it*") == ["item"]
    assert [module for module, _ in texts.definitions("struct", "item")] == ["vmlinux", "mod"]
    assert texts.names("enum", "*") == []
