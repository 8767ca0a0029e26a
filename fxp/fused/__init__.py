"""The fast engine: nodes joined into passes, each pass one call of compiled vector code."""
