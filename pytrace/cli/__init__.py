"""Layer 7: the command line, listings and the prompt."""
