"""Every script of the conformance data is good syntax."""

from __future__ import annotations

import pytest

from pytrace.base.diagnostics import DiagnosticSink, render_all
from pytrace.base.source import SourceFile
from pytrace.frontend.parser import parse
from tests.conformance.data import data_directory, load


@pytest.mark.needs("conformance-cases")
def test_scripts_of_the_conformance_data_parse() -> None:
    directory = data_directory()
    assert directory is not None
    data = load(directory)
    scripts = {case.id: case.program for case in data.cases if case.program}
    scripts |= {path: text for path, text in data.files.items() if path.endswith(".bt")}
    assert len(scripts) > 300
    for name, text in scripts.items():
        sink = DiagnosticSink()
        program = parse(SourceFile(name, text.encode()), sink)
        assert program is not None, render_all(sink)
