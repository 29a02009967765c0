"""The run side's own layer over bpf(2), perf_event_open(2) and the files of the running kernel.

Each module is imported by its full name by whoever needs it, so that a short run pays for no more
than it uses; this file therefore imports nothing.
"""
