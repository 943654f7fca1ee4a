"""From takes to clips: fitted, judged, chosen, written – and made again."""
