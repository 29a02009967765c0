"""What the verifier's refusal means for the person who wrote the script."""

from __future__ import annotations

from pytrace.base.errors import VerifierError
from pytrace.base.source import SourceFile, Span

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytrace.model.compiled import CompiledProgram, LineInfo


def explain(
    error: VerifierError,
    prog: str,
    compiled: CompiledProgram,
    lines: Sequence[tuple[int, tuple[LineInfo, ...]]],
) -> VerifierError:
    """The same refusal with the contract's text and the place in the script.

    ``lines`` are the line infos of what was loaded: (index of the first instruction, its lines).
    """
    from pytrace.runtime.loader import failure_text

    span = _span_of_insn(error.log, compiled, lines) or _span_of_comment(error.log, compiled)
    text, summary = failure_text(prog, error.errno), error.summary
    helper = refused_helper(error.log)
    if helper:
        text = summary = f"helper {helper} not allowed in probe"
        span = _call_at(span) if span is not None else None
    return VerifierError(
        text, errno=error.errno, prog=prog, log=error.log, summary=summary, span=span
    )


def refused_helper(log: str) -> str:
    """The helper that this kind of prog, or a prog at this place, may not call; empty if the
    refusal is another one (kernel/bpf/verifier.c, check_helper_call)."""
    last_call = ""
    for line in log.splitlines():
        if " call " in line and "#" in line:
            last_call = line.rpartition(" call ")[2].partition("#")[0]
        elif "cannot use helper " in line:
            return line.rpartition("cannot use helper ")[2].partition("#")[0]
        elif line.startswith("helper call is not allowed in probe"):
            return last_call
    return ""


def _call_at(span: Span) -> Span:
    """What begins where a span does: a name, with its arguments if there are any."""
    raw = span.source.text
    end, depth, quoted = span.start, 0, False
    while end < span.end:
        byte = raw[end : end + 1]
        if quoted:
            end += byte == b"\\"
            quoted = byte != b'"'
        elif byte == b'"':
            quoted = True
        elif byte == b"(":
            depth += 1
        elif byte == b")":
            depth -= 1
            if depth <= 0:
                end += depth == 0
                break
        elif not depth and not (byte.isalnum() or byte == b"_"):
            break
        end += 1
    return Span(source=span.source, start=span.start, end=max(end, span.start + 1))


def last_insn(log: str) -> int | None:
    """Index of the instruction that the verifier looked at last: a line ``12: (85) call ...``."""
    for line in reversed(log.splitlines()):
        number, colon, rest = line.partition(": (")
        if colon and number.isdigit() and rest[2:3] == ")":
            return int(number)
    return None


def _span_of_insn(
    log: str, compiled: CompiledProgram, lines: Sequence[tuple[int, tuple[LineInfo, ...]]]
) -> Span | None:
    insn = last_insn(log)
    if insn is None:
        return None
    best: LineInfo | None = None
    for start, infos in lines:
        for info in infos:
            if start + info.insn <= insn:
                best = info
    if best is None:
        return None
    name = _btf_string(compiled.btf, best.file_name_off)
    return _span(compiled, name, best.line, best.column)


def _span_of_comment(log: str, compiled: CompiledProgram) -> Span | None:
    """From the last ``; text @ file:line`` of the log, which Linux 6.10 prints."""
    for line in reversed(log.splitlines()):
        if line.startswith("; ") and " @ " in line:
            name, _, number = line.rpartition(" @ ")[2].rpartition(":")
            if number.isdigit():
                return _span(compiled, name, int(number), 1)
    return None


def _span(compiled: CompiledProgram, name: str, line: int, column: int) -> Span | None:
    """From ``column`` to the end of what stands on the line."""
    for source in compiled.sources:
        if source.name != name and source.name.rpartition("/")[2] != name.rpartition("/")[2]:
            continue
        text = SourceFile(source.name, source.text)
        raw = text.line(line)
        if not raw.strip():
            return None
        first = max(column - 1, len(raw) - len(raw.lstrip()))
        start = text.start_of_line(line)
        return Span(source=text, start=start + first, end=start + len(raw.rstrip()))
    return None


def _btf_string(btf: bytes, offset: int) -> str:
    """A string of a .BTF section (header: magic, version, flags, length, then four u32)."""
    header_size = int.from_bytes(btf[4:8], "little")
    strings = header_size + int.from_bytes(btf[16:20], "little")
    end = btf.find(b"\0", strings + offset)
    return btf[strings + offset : end].decode("utf-8", "surrogateescape") if end >= 0 else ""
