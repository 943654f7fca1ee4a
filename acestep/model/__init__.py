"""The cascade in memory: stages, codec and text encoder, and a song's way through them."""
