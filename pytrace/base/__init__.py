"""Layer 0: what every other room may use. Sources, diagnostics, types, errors, config; no I/O."""
