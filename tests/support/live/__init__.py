"""A double of Ableton Live's object model, so that the real remote script can run without Live."""
