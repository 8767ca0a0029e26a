"""Fixed-point formats, integer network, oracle and simulator (no torch below this point)."""
