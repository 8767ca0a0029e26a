"""Accuracy-regression gates: what is measured, the reviewed baseline, and the comparison.

`python -m tests.gates` measures everything and prints it beside the baseline;
`python -m tests.gates --rebaseline` stores what was measured and prints what changed.
"""
