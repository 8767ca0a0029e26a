"""Post-training repair: what can still be done for an integer network without training it."""
