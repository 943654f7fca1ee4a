"""What music is made of: grids, keys, tempo maps, and what a clip should be."""
