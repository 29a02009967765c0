"""Shared by every test: the `needs` marker, the table of what was not run, `--update-golden`."""

import pytest

pytest_plugins = ["tests.notrun"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is found into tests/golden/cases; a person reviews the difference",
    )
