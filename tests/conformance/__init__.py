"""Runs the behaviour cases that pytrace shares with bpftrace, from a directory of data.

The data is not part of the project: the environment variable PYTRACE_CONFORMANCE names a
directory with ``cases.json`` and ``README.md``. Without it there is nothing to run.
"""
