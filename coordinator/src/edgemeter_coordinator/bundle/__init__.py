"""Replay bundles: a study in one file, what it takes to repeat it, and whether the same came out."""
