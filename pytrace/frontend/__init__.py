"""Layer 3, compile side: script text to syntax tree."""
