"""C definitions: layouts as gcc makes them, what they define, what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytrace.base.types import (
    I8,
    I32,
    U32,
    U64,
    Array,
    Enum,
    EnumDef,
    Ptr,
    Str,
    Struct,
    StructDef,
    Type,
)
from pytrace.frontend import cdecl

PRELUDE = """
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <stdbool.h>
typedef uint8_t u8, __u8; typedef uint16_t u16, __u16;
typedef uint32_t u32, __u32; typedef uint64_t u64, __u64;
"""

# Each defines T, a struct or union; what stands before it in the text is defined with it.
LAYOUTS = (
    "struct T { char a; };",
    "struct T { char a; int b; char c; long d; };",
    "struct T { short a; char b; short c; };",
    "struct T { char a; long long b; char c; };",
    "struct T { unsigned char a; unsigned short b; unsigned int c; unsigned long d; };",
    "struct T { u8 a; u16 b; u32 c; u64 d; __u8 e; __u64 f; };",
    "struct T { uint8_t a; int16_t b; uint32_t c; int64_t d; size_t e; };",
    "struct T { _Bool a; bool b; int c; };",
    "struct T { char a[3]; int b; char c[5]; };",
    "struct T { int a[2][3]; char b; long c[2]; };",
    "struct T { char a; int b[]; };",
    "struct T { char a; int *b; char c; void *d; const char *e; };",
    "struct T { int *a[3]; char **b; };",
    "struct T { int (*f)(int, char *); char a; void (*g)(void); };",
    "struct T { const volatile int a; volatile char b; unsigned const char c; };",
    "struct T { int a, b, *c, d[2]; char e; };",
    "union T { char a; int b; long c; char d[13]; };",
    "union T { struct { int a; char b; }; long c; };",
    "struct T { int a; union { char b; long c; }; char d; };",
    "struct T { char a; struct { short b; struct { char c; int d; }; }; char e; };",
    "struct T { char a; struct { char b; long c; } d; char e; };",
    "struct T { struct { char a; } b[3]; int c; };",
    "struct in_T { short a; char b; };\nstruct T { char c; struct in_T d; struct in_T e[2]; };",
    "union inner_T { long a; char b; };\nstruct T { char c; union inner_T d; char e; };",
    "struct T { char a; struct T *next; struct unknown_T *other; };",
    "enum e_T { A_T, B_T };\nstruct T { char a; enum e_T b; char c; };",
    "enum e_T { A_T = -1, B_T };\nstruct T { char a; enum e_T b; };",
    "enum e_T { N_T = 4, M_T = N_T * 2 + 1 };\nstruct T { char a[N_T]; short b[M_T]; };",
    "struct T { char a; int b; } __attribute__((packed));",
    "struct __attribute__((packed)) T { char a; long b; short c; };",
    "struct T { char a; struct { char b; int c; } d; } __attribute__((packed));",
    "struct T { char a; } __attribute__((aligned(16)));",
    "struct T { char a; int b; } __attribute__((packed, aligned(4)));",
    "struct T { char a; int b __attribute__((aligned(16))); char c; };",
    "struct T { char a; long b; } __attribute__((packed)) __attribute__((aligned(2)));",
    "struct T { int a : 3; int b : 5; };",
    "struct T { unsigned a : 1; unsigned b : 31; unsigned c : 1; };",
    "struct T { unsigned a : 20; unsigned b : 20; };",
    "struct T { char a; unsigned b : 4; char c; };",
    "struct T { char a; unsigned b : 30; };",
    "struct T { u8 a : 3; u8 b : 6; u16 c : 9; };",
    "struct T { u64 a : 33; u64 b : 31; u32 c : 5; };",
    "struct T { u64 a : 40; u32 b : 20; u8 c : 4; };",
    "struct T { unsigned a : 3; unsigned : 0; unsigned b : 3; };",
    "struct T { unsigned a : 3; unsigned : 5; unsigned b : 3; char c; };",
    "struct T { char a; char : 0; int b : 4; short c; };",
    "struct T { short a : 9; char b : 7; long c : 40; };",
    "struct T { unsigned a : 7; unsigned b : 30; char c; } __attribute__((packed));",
    "struct T { char a; u64 b : 60; u8 c : 3; } __attribute__((packed));",
    "struct T { char a; struct { unsigned b : 4; unsigned c : 6; }; int d; };",
    "union T { unsigned a : 5; char b; unsigned c : 20; };",
    "struct T { unsigned a : 3; union { unsigned b : 3; long c; }; unsigned d : 4; };",
    "struct T { _Bool a : 1; _Bool b : 1; unsigned c : 6; };",
    "struct T { int a : 1; long b; int c : 1; };",
    "struct T { };",
)


def define(text: str) -> cdecl.Definitions:
    found = cdecl.Definitions()
    cdecl.parse(text, found, lambda kind, name: None, lambda name: None)
    return found


def defined(text: str, name: str = "T") -> StructDef:
    found = define(text)
    return next(d for (_, n), d in found.structs.items() if n == name)


def measured(tmp_path: Path) -> dict[str, list[tuple[str, int, int]]]:
    """What gcc says of each layout: size, and per field its place in bits and its size in bits."""
    lines = [PRELUDE]
    body = []
    for number, text in enumerate(LAYOUTS):
        own = text.replace("_T", f"_t{number}").replace(" T ", f" t{number} ")
        lines.append(own)
        definition = defined(text)
        kind = f"{definition.kind} t{number}"
        body.append(f'printf("{number} size 0 %zu\\n", sizeof({kind}));')
        for field in definition.fields:
            if field.bit_size:
                body.append(f"{{ {kind} v; memset(&v, 0, sizeof v); v.{field.name} = -1;")
                body.append(f'  bits({number}, "{field.name}", (unsigned char *)&v, sizeof v); }}')
            elif isinstance(field.type, Array) and not field.type.count:
                body.append(f'printf("{number} {field.name} %zu 0\\n",')
                body.append(f"  8 * offsetof({kind}, {field.name}));")
            else:
                body.append(f'printf("{number} {field.name} %zu %zu\\n",')
                body.append(f"  8 * offsetof({kind}, {field.name}),")
                body.append(f"  8 * sizeof((({kind} *)0)->{field.name}));")
    lines.append("""
static void bits(int number, const char *name, unsigned char *p, int size) {
  int first = -1, count = 0;
  for (int i = 0; i < 8 * size; i++)
    if (p[i / 8] >> (i % 8) & 1) { if (first < 0) first = i; count++; }
  printf("%d %s %d %d\\n", number, name, first, count);
}""")
    lines.append("int main(void) {\n" + "\n".join(body) + "\nreturn 0; }\n")
    source, program = tmp_path / "layouts.c", tmp_path / "layouts"
    source.write_text("\n".join(lines), "utf-8")
    subprocess.run(["gcc", "-w", "-o", str(program), str(source)], check=True)
    text = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    found: dict[str, list[tuple[str, int, int]]] = {}
    for line in text.splitlines():
        words = line.split()
        found.setdefault(words[0], []).append((words[1], int(words[2]), int(words[3])))
    return found


@pytest.fixture(scope="module")
def gcc(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, int, int]]]:
    return measured(tmp_path_factory.mktemp("layouts"))


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("number", range(len(LAYOUTS)), ids=lambda n: LAYOUTS[n][:60])
def test_layout_is_gccs(number: int, gcc: dict[str, list[tuple[str, int, int]]]) -> None:
    definition = defined(LAYOUTS[number])
    found = [("size", 0, definition.size)]
    for field in definition.fields:
        size = field.bit_size or 8 * field.type.size
        found.append((field.name, 8 * field.offset + field.bit_offset, size))
    assert found == gcc[str(number)]


def test_there_are_many_layouts() -> None:
    assert len(LAYOUTS) >= 50


@pytest.mark.parametrize(
    ("declaration", "kind"),
    [
        ("char a[5]", Str(length=5)),
        ("unsigned char a[5]", Array(elem=cdecl.FIXED["u8"], count=5)),
        ("int a[2][3]", Array(elem=Array(elem=I32, count=3), count=2)),
        ("char *a", Ptr(to=I8)),
        ("int **a", Ptr(to=Ptr(to=I32))),
        ("long long unsigned a", U64),
        ("unsigned a", U32),
        ("struct other *a", Ptr(to=Struct(kind="struct", name="other", bytes=0))),
    ],
)
def test_types_of_members(declaration: str, kind: Type) -> None:
    assert defined(f"struct T {{ {declaration}; }};").fields[0].type == kind


def test_bit_fields_tell_their_unit_and_place_in_it() -> None:
    fields = defined("struct T { unsigned a : 20; unsigned b : 20; u8 c : 3; };").fields
    places = [(f.name, f.offset, f.bit_offset, f.bit_size) for f in fields]
    assert places == [("a", 0, 0, 20), ("b", 4, 0, 20), ("c", 6, 4, 3)]


def test_enums() -> None:
    color = define("enum color { RED, GREEN = 5, BLUE, NEXT = BLUE << 2 };").enums["color"]
    assert color.values == (("RED", 0), ("GREEN", 5), ("BLUE", 6), ("NEXT", 24))
    assert (color.name, color.bits, color.signed) == ("color", 32, False)
    assert define("enum e { A = -1 };").enums["e"].signed
    assert define("enum e { A = 0x100000000 };").enums["e"].bits == 64


def test_typedefs() -> None:
    found = define("typedef unsigned long word; typedef struct pair { word a, b; } pair_t;")
    assert found.typedefs["word"] == U64
    assert found.typedefs["pair_t"] == Struct(kind="struct", name="pair", bytes=16)


def test_types_of_the_kernel_are_found_by_tag_and_by_name() -> None:
    found = cdecl.Definitions()
    known = StructDef(kind="struct", name="known", size=24, fields=())
    text = "struct T { struct known a; pid_t b; enum color c; };"
    color = EnumDef(name="color", bits=32, signed=False, values=(("RED", 0),))
    tags: dict[str, StructDef | EnumDef] = {"known": known, "color": color}
    names: dict[str, Type] = {"pid_t": I32}
    cdecl.parse(text, found, lambda kind, name: tags.get(name), names.get)
    fields = found.structs["struct", "T"].fields
    assert [f.offset for f in fields] == [0, 24, 28]
    assert fields[2].type == Enum(name="color", bits=32, signed=False)


def test_comments_and_preprocessor_lines_are_layout() -> None:
    text = "struct T { /* a */ int a; // b\n#define X 1\n int b; };"
    assert [f.name for f in defined(text).fields] == ["a", "b"]


@pytest.mark.parametrize("text", ["struct T { int a };", "struct T { int; };", "struct T;", ";;"])
def test_what_a_compiler_would_refuse_may_pass(text: str) -> None:
    define(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("struct T { nosuchtype a; };", "unknown type name 'nosuchtype'"),
        ("struct T { int a", "expected"),
        ("struct T { int a[N]; };", "'N' is not a constant"),
        ("struct T { int a[1 / 0]; };", "division by zero"),
        ("struct T { int a /* };", "unterminated comment"),
        ("struct T { int a : ; };", "is not a constant"),
        ("enum e { A = };", "is not a constant"),
    ],
)
def test_bad_declarations(text: str, why: str) -> None:
    with pytest.raises(cdecl.BadDeclaration, match=why):
        define(text)
