"""Shared by every test: the `needs` marker and the table of what was not run."""

pytest_plugins = ["tests.notrun"]
