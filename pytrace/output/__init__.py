"""Layer 4, run side: one file an output format, each fulfilling the Sink protocol."""
