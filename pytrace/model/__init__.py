"""Layer 1: passive data that crosses from the compile side to the run side."""
