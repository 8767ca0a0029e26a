"""Analytic cost model of the target accelerator: work, memory, cycles, traffic, energy."""
