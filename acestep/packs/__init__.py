"""Material to take away: kits of single hits, packs of whole ideas, and reading packs back."""
