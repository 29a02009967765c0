"""Layer 4, compile side: syntax tree to typed IR, one file a pass."""
