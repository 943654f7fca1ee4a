"""From takes to clips: fitting, judging, choosing and writing them, and making one again."""
