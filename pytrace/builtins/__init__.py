"""Layer 2: builtin values and functions, one file a topic, both halves of each in one record."""
