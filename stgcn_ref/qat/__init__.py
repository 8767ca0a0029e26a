"""Quantisation-aware training: a float network trained through the integers it will become."""
