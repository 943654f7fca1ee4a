"""Loops with perfect labels, composed and rendered by code: sounds, styles, composition, rendering,
captions.
"""
