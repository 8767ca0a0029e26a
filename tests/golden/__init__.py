"""Committed golden bundles, and the networks they were made of."""
