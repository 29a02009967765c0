"""The project's own benchmark: pytrace and a peer run the same scripts in turn; ratios count.

    python -m tests.bench --case all --peer bpftrace

It needs root, gcc and a quiet machine, and is no part of the test run.
"""
