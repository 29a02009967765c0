"""The documents tell what the code does: examples compile, tables are complete, links lead home."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytrace.base.config import VARIABLES
from pytrace.base.diagnostics import DiagnosticSink, render_all
from pytrace.base.source import SourceFile
from pytrace.builtins import registry
from pytrace.cli.options import OPTIONS, Options, parse
from pytrace.compiler import compile_program, library
from pytrace.frontend.print import format_source
from pytrace.kernel import snapshot
from pytrace.kernel.fake import FakeKernel
from pytrace.kernel.info import FEATURES
from pytrace.kernel.record import ReplayKernel
from pytrace.model.request import CompileRequest
from pytrace.probes import provider
from scripts import manual
from tests import documents
from tests.documents import LANGUAGE, Script
from tests.golden.record_kernel import DIRECTORY

if TYPE_CHECKING:
    from pytrace.kernel.info import KernelInfo
    from pytrace.kernel.record import Facts

ROOT = documents.DOCS.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(documents.DOCS.glob("**/*.md"))]


@cache
def able_kernel() -> KernelInfo:
    """The recorded kernel, with every feature that examples may use."""
    recorded = snapshot.load(str(DIRECTORY)).facts()
    able: Facts = {("supports", (feature,)): True for feature in FEATURES}
    return ReplayKernel({**recorded, **able}, FakeKernel())


def compiled(request: CompileRequest) -> tuple[bool, str]:
    """Whether a script compiles, and what is told."""
    result = compile_program(request, able_kernel())
    return result.program is not None, render_all(result.sink)


def request_of(script: Script) -> CompileRequest:
    return CompileRequest(
        source=SourceFile("stdin", script.text.encode()),
        params=script.params,
        options=script.options,
        unsafe="unsafe" in script.words,
        mode="test" if "test" in script.words else "bench" if "bench" in script.words else "",
    )


SCRIPTS = documents.scripts(LANGUAGE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: f"line{s.line}")
def test_scripts_of_the_reference_compile(script: Script) -> None:
    fine, told = compiled(request_of(script))
    assert fine is not script.wrong, told
    if script.wrong and script.output is not None:
        assert told == script.output


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: f"line{s.line}")
def test_scripts_of_the_reference_can_be_formatted(script: Script) -> None:
    sink = DiagnosticSink()
    assert format_source(SourceFile("stdin", script.text.encode()), sink) is not None, sink.items


COMMANDS = [
    pytest.param(path, words, id=f"{path.name}:{line}")
    for path in DOCUMENTS
    for line, words in documents.commands(path)
]


@pytest.mark.parametrize(("path", "words"), COMMANDS)
def test_commands_in_documents_are_commands(path: Path, words: list[str]) -> None:
    """Options exist, and the program of -e compiles."""
    options = parse(words)
    if options.program is None or options.mode == "format":
        return
    fine, told = compiled(request_of_options(options))
    assert fine, told


def request_of_options(options: Options) -> CompileRequest:
    assert options.program is not None
    return CompileRequest(
        source=SourceFile("stdin", options.program.encode()),
        params=options.params,
        options=options.script_options,
        unsafe=options.unsafe,
        pid=options.pid,
        has_child=bool(options.command),
    )


def words_of(path: Path) -> set[str]:
    """Everything that stands in backquotes or in a block."""
    text = path.read_text(encoding="utf-8")
    quoted = " ".join(re.findall(r"`([^`\n]+)`", text))
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", quoted))


def test_the_reference_names_every_builtin() -> None:
    known = {n for n in registry.load_all() if not n.startswith("__")} | set(library())
    known = {n for n in known if not n.startswith("__")} - {"argN"}
    assert known - words_of(LANGUAGE) == set()


def test_the_reference_names_every_provider() -> None:
    assert set(provider.load_all()) - words_of(LANGUAGE) == set()


def test_the_reference_has_every_config_variable_with_its_default() -> None:
    rows = {}
    for line in LANGUAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3:
            rows[cells[0].strip("`")] = cells[1].strip("`")
    for name, variable in VARIABLES.items():
        value = variable.default
        assert rows.get(name) == (str(value).lower() if isinstance(value, bool) else str(value))


def test_the_reference_has_every_option() -> None:
    text = LANGUAGE.read_text(encoding="utf-8")
    quoted = set(re.findall(r"(?<![\w-])--?[A-Za-z][A-Za-z-]*", text))
    wanted = {f"-{o.short}" for o in OPTIONS if o.short}
    wanted |= {f"--{o.long}" for o in OPTIONS if o.long}
    assert wanted - quoted == set()


def test_the_table_of_builtins_is_fresh() -> None:
    saved = manual.OUTPUT.read_text(encoding="utf-8")
    assert manual.manual() == saved, "run python -m scripts.manual"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        if "://" in name:
            continue
        file = path.parent / name if name else path
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(path: Path) -> set[str]:
    """Names that the headings of a Markdown file can be linked by."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
