"""The cascade in memory: stages, codec and text encoder, and how a song is made by them."""
