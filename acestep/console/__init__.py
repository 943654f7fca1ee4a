"""How commands begin and end: reading a line, errors in a sentence, any terminal."""
