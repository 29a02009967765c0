"""Layer 3, compile side: the typed IR, its printer, its checker and storage placement."""
