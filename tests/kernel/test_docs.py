"""Examples of the language reference on this kernel: they print what the document says, or at
least load and attach."""

from __future__ import annotations

import pytest

from pytrace.kernel.info import FEATURES
from pytrace.kernel.live import LiveKernel
from tests import documents, machine
from tests.documents import LANGUAGE, Script
from tests.kernel.tracer import run

pytestmark = pytest.mark.needs("root", "tracefs", "btf")

SCRIPTS = [script for script in documents.scripts(LANGUAGE) if not script.wrong]


def words(script: Script) -> list[str]:
    """The command line behind the options of a script."""
    named = [f"--{n}" if value is None else f"--{n}={value}" for n, value in script.options]
    return ["-e", script.text, *script.params, *(["--", *named] if named else [])]


def skip_unless_able(script: Script) -> None:
    """Skips what this machine has not the means for; hardware counters show only when tried."""
    for need in script.needs:
        if need in FEATURES:
            if not LiveKernel().supports(need):
                pytest.skip(f"needs {need}: the kernel refuses it")
        elif machine.FEATURES[need].absent is not None:
            why = machine.absent(need)
            if why:
                pytest.skip(f"needs {need}: {why}")
        elif run("--dry-run", *words(script)).returncode == 255:
            pytest.skip(f"needs {need}: this machine cannot attach it")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: f"line{s.line}")
def test_examples_do_what_the_document_says(script: Script) -> None:
    skip_unless_able(script)
    options = ["--no-warnings", *(f"--{w}" for w in sorted(script.words))]
    if script.output is None and not script.words & {"test", "bench"}:
        options.append("--dry-run")
    done = run(*options, *words(script))
    assert done.returncode == 0, done.stderr
    if script.output is not None:
        assert done.stdout.rstrip("\n") == script.output.rstrip("\n")
