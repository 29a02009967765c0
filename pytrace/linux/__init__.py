"""Layer 3, run side: bpf(2), perf_event_open(2), links, ring buffers, feature probes."""
