"""Compiled inner loops of the simulator, one module per kind of work."""
