"""Clips, cascades and adapters on disk: the index, moves between folders, what there is."""
