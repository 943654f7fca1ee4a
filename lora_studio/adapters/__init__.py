"""Adapters: layers on a stage, files in every spelling, the library, merging."""
