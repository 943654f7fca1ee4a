"""Adapter files of every published layout, read into updates of layers."""
