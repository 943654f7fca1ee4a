"""Samples and files: reading and writing audio and what it says of itself; level, length, seams."""
