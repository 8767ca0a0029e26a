"""Synthesis with Yosys, and the area models that are fitted to it."""
