"""Format files of tracepoints as the kernel writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.base.types import (
    BOOL,
    I8,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    VOID,
    Array,
    Enum,
    EnumDef,
    Field,
    Ptr,
    Str,
    Struct,
    StructDef,
    Type,
)
from pytrace.kernel.tracefs import FormatError, char_type, parse_format

HEAD = """name: sys_enter_openat
ID: 782
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""


class Names:
    """Type information of a small kernel."""

    def struct(self, kind: str, name: str) -> StructDef | None:
        if (kind, name) == ("struct", "iocb"):
            return StructDef(kind=kind, name=name, size=64, fields=())
        return None

    def enum(self, name: str) -> EnumDef | None:
        if name == "migrate_mode":
            return EnumDef(name=name, bits=32, signed=True, values=(("ASYNC", 0),))
        return None

    def typedef(self, name: str) -> Type | None:
        capget = Struct(kind="struct", name="__user_cap_header_struct", bytes=8)
        return {
            "cap_user_header_t": Ptr(to=capget, space="kernel"),
            "guid_t": Struct(kind="struct", name="anon_7", bytes=16),
            "xfs_ino_t": U64,
            "fd_set": Struct(kind="struct", name="anon_9", bytes=128),
            "mode_e": Enum(name="mode_e"),
        }.get(name)


def line(declaration: str, size: int, signed: int = 0, offset: int = 8) -> str:
    return f"\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n"


def field(declaration: str, size: int, signed: int = 0, category: str = "sched") -> Field:
    text = HEAD + line(declaration, size, signed)
    return parse_format(text, category, "event", Names()).fields[0]


def test_a_system_calls_format() -> None:
    text = (
        HEAD
        + line("int __syscall_nr", 4, 1)
        + line("int dfd", 8, offset=16)
        + line("const char * filename", 8, offset=24)
        + line("umode_t mode", 8, offset=40)
        + '\nprint fmt: "dfd: 0x%08lx", ((unsigned long)(REC->dfd))\n'
    )
    found = parse_format(text, "syscalls", "sys_enter_openat")
    assert (found.category, found.event, found.size) == ("syscalls", "sys_enter_openat", 48)
    assert found.fields == (
        Field(name="__syscall_nr", type=I32, offset=8),
        Field(name="dfd", type=U64, offset=16),
        Field(name="filename", type=Ptr(to=U8, space="user"), offset=24),
        Field(name="mode", type=U64, offset=40),
    )
    assert found.declarations[2] == "const char * filename"


@pytest.mark.parametrize(
    ("declaration", "size", "signed", "expected"),
    [
        ("pid_t pid", 4, 1, I32),
        ("unsigned count", 4, 0, U32),
        ("long prev_state", 8, 1, I64),
        ("u16 vid", 2, 0, U16),
        ("bool raw", 1, 0, BOOL),
        ("char comm[16]", 16, 0, Str(length=16)),
        ("char buf[]", 0, 0, Str(length=0)),
        ("s8 tag[8]", 8, 1, Str(length=8)),
        ("char names[2][16]", 32, 0, Array(elem=Str(length=16), count=2)),
        ("char comm[TASK_COMM_LEN]", 16, 0, Str(length=16)),
        ("unsigned char addr[6]", 6, 0, Array(elem=U8, count=6)),
        ("u8 fsid[16]", 16, 0, Array(elem=U8, count=16)),
        ("unsigned long args[6]", 48, 0, Array(elem=U64, count=6)),
        ("unsigned long args[]", 0, 0, Array(elem=U64, count=0)),
        ("unsigned long bits[NR_CPUS/64]", 32, 0, Array(elem=U64, count=4)),
        ("void * addr[2]", 16, 0, Array(elem=Ptr(to=VOID, space="kernel"), count=2)),
        ("xfs_ino_t ino", 8, 0, U64),
        ("guid_t guid", 16, 0, Struct(kind="struct", name="anon_7", bytes=16)),
        ("unheard_t x", 24, 0, Array(elem=U8, count=24)),
        ("enum migrate_mode mode", 4, 0, Enum(name="migrate_mode", signed=True)),
        ("const enum rule_type type", 8, 0, Enum(name="rule_type", bits=64)),
        ("enum xfs_group_type type", 1, 0, Enum(name="xfs_group_type", bits=8)),
        ("mode_e mode", 4, 0, Enum(name="mode_e")),
        ("struct iocb cb", 64, 0, Struct(kind="struct", name="iocb", bytes=64)),
        ("void __seg_gs * ptr", 8, 0, Ptr(to=VOID, space="kernel")),
        ("unheard_t * ptr", 8, 0, Ptr(to=VOID, space="kernel")),
        ("signed char * p", 8, 0, Ptr(to=I8, space="kernel")),
    ],
)
def test_the_type_of_a_field(declaration: str, size: int, signed: int, expected: Type) -> None:
    assert field(declaration, size, signed).type == expected


def test_pointers_of_system_calls_are_user_pointers_to_the_last() -> None:
    found = field("struct iocb * * iocbpp", 8, category="syscalls").type
    iocb = Struct(kind="struct", name="iocb", bytes=64)
    assert found == Ptr(to=Ptr(to=iocb, space="user"), space="user")
    hidden = field("cap_user_header_t header", 8, category="syscalls").type
    assert isinstance(hidden, Ptr)
    assert hidden.space == "user"


def test_a_data_location_is_a_number_that_points_at_the_data() -> None:
    found = field("__data_loc char[] filename", 4)
    assert found == Field(name="filename", type=I64, offset=8, data_loc=True)
    assert field("__data_loc cpumask_t cpumask", 4).data_loc


def test_plain_char_became_unsigned_with_linux_6_2() -> None:
    assert char_type("6.1.0-13-amd64") == I8
    assert char_type("6.2.0") == U8
    assert char_type("10.0-rc1") == U8
    text = HEAD + line("char * buf", 8)
    assert parse_format(text, "net", "x", char=I8).fields[0].type == Ptr(to=I8, space="kernel")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing of the kind",
        HEAD + "\tfield:int x;\toffset:8;\n",
        HEAD + "\tfield:int x;\toffset:-8;\tsize:4;\tsigned:1;\n",
        HEAD + "\tfield:int x;\toffset:eight;\tsize:4;\tsigned:1;\n",
        HEAD + "\tfield:x;\toffset:8;\tsize:4;\tsigned:1;\n",
        HEAD + "\tfield:char x[4;\toffset:8;\tsize:4;\tsigned:1;\n",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse_format(text, "a", "b")


@given(
    st.text(alphabet="abc_ *[]();:\t\n0123456789", max_size=80),
    st.integers(0, 64),
    st.sampled_from(["field:{};\toffset:8;\tsize:{};\tsigned:0;", "field:{}", "{}{}"]),
)
def test_any_text_gives_a_format_or_a_format_error(text: str, size: int, shape: str) -> None:
    try:
        found = parse_format(HEAD + "\t" + shape.format(text, size), "a", "b", Names())
    except FormatError:
        return
    assert len(found.fields) == len(found.declarations)
