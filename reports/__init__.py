"""Figures and tables drawn from results; computes nothing."""
