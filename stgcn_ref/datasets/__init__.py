"""Labelled recordings: HuGaDB, and a synthetic generator of the same layout. No torch here."""
