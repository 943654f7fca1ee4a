"""Standing requests whose next bars lie ready before the playhead needs them."""
