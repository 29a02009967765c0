"""The verifier's refusal under the script's line."""

from __future__ import annotations

import struct

import pytest

from pytrace.base.errors import VerifierError
from pytrace.model.compiled import CompiledProgram, LineInfo, SourceText
from pytrace.runtime.verifier import explain, last_insn

SCRIPT = b"begin {\n  $a = 1;\n\tprint($a);\n}\n"

LOG = """\
func#0 @0
0: R1=ctx() R10=fp0
; begin { @ stdin:1
0: (b7) r0 = 0                        ; R0_w=0
1: (85) call pc+3
caller:
 R10=fp0
; print($a); @ stdin:3
7: (bf) r1 = r9
R9 !read_ok
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0
"""


def compiled(name: str) -> CompiledProgram:
    strings = b"\0" + name.encode() + b"\0"
    btf = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, len(strings)) + strings
    return CompiledProgram(
        version="1",
        target="x86_64",
        sources=(SourceText(name="stdin", text=SCRIPT),),
        progs=(),
        subprogs=(),
        maps=(),
        events=(),
        attach=(),
        params=(),
        btf=btf,
        license="GPL",
        config=(),
    )


def line(insn: int, number: int, column: int) -> LineInfo:
    return LineInfo(insn=insn, file_name_off=1, line_off=0, line=number, column=column)


def refusal(log: str) -> VerifierError:
    return VerifierError("text", errno=13, prog="begin_1", log=log, summary="R9 !read_ok")


def test_the_last_instruction_of_a_log() -> None:
    assert last_insn(LOG) == 7
    assert last_insn("no instruction: at all\n") is None


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ([(0, (line(0, 1, 1), line(3, 2, 3)))], "$a = 1;"),
        # Instruction 7 is the third of a subprogram that begins at 5.
        ([(0, (line(0, 1, 1),)), (5, (line(0, 3, 1), line(9, 1, 1)))], "print($a);"),
        ([(0, (line(0, 3, 8),))], "$a);"),
    ],
)
def test_the_line_that_the_instruction_came_from(
    lines: list[tuple[int, tuple[LineInfo, ...]]], text: str
) -> None:
    error = explain(refusal(LOG), "begin_1", compiled("stdin"), lines)
    assert error.span is not None and error.span.text == text
    assert error.span.source.name == "stdin"
    assert (error.log, error.summary, error.prog) == (LOG, "R9 !read_ok", "begin_1")
    assert str(error) == (
        "Error loading BPF program for begin_1. Error code: -13 (Permission denied). "
        "Use -v for full kernel error log."
    )


def test_comments_of_the_log_tell_where_there_is_no_line_info() -> None:
    error = explain(refusal(LOG), "begin_1", compiled("stdin"), [(0, ())])
    assert error.span is not None and error.span.text == "print($a);"


@pytest.mark.parametrize("log", ["", "R9 !read_ok\n", "; x @ elsewhere.c:3\n3: (bf) r1 = r9\n"])
def test_a_place_that_is_not_known(log: str) -> None:
    assert explain(refusal(log), "begin_1", compiled("stdin"), []).span is None


def test_lines_beyond_the_script_are_not_shown() -> None:
    error = explain(refusal(LOG), "b", compiled("stdin"), [(0, (line(0, 99, 1),))])
    assert error.span is not None and error.span.text == "print($a);"  # from the comment
