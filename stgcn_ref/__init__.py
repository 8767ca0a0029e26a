"""Float reference networks, data, training and export (the only package that knows torch)."""
