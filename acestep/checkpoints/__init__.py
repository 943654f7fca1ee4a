"""Checkpoints on disk: finding, fetching, converting, composing, and what fits a machine."""
