"""Layer 5, run side: loader, session loop, decoding, map reading, symbolisation."""
