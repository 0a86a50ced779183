"""Restart policies: when to run again. Pure; see `decision` for the vocabulary."""
