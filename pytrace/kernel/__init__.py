"""Layer 1: the target machine. The KernelInfo protocol and pure parsers; live.py alone reads it."""
