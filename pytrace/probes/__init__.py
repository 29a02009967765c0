"""Layer 2: probe providers, one file each, with a compile half and a run half."""
