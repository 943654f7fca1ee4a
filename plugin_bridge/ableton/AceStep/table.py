"""The settings a request from Live may have, and their types. Made from the table in acestep/request.py by `make tables`: change that table, not this file."""

TYPES = {
    "bars": float,  # Length in bars; fractions are pick-ups. Left out: as long as the context, else 4.
    "key": str,  # The key. Left out: any.
    "swing": float,  # Long to short eighth: 1 is straight, 2 is triplets. Left out: as the context has it.
    "lyrics": str,  # Words to sing, if the model can sing.
    "loudness": float,  # How loud a clip without context is, over its whole length. Left out: −14; off: as it was made.
    "strength": float,  # How strongly reference and context hold. Left out: 1, fully.
    "task": str,  # What to do. Left out: text, or complete where there is a context to fit to.
    "track": str,  # For lego and extract: which instrument; for complete: several, separated by |.
    "adapter": str,  # Adapters made by lora_studio, each with how strongly it is used.
    "takes": int,  # How many clips to make. Left out: 1.
    "candidates": int,  # How many are made for each take; the best fitting one is kept. Left out: 1.
    "seed": int,  # The same seed gives the same clip; take k has seed + k. Left out: a new one each time.
    "cascade": str,  # Which model makes it; `acestep models` lists them. Left out: the daemon's.
    "stages": str,  # Only these stages of the model, for example l, m. Left out: all.
    "steps": int,  # How many steps the model takes: fewer are faster. Left out: its own number.
    "guidance": float,  # How closely the model keeps to the prompt. Left out: its own value.
    "fit": int,  # Bring the clip to the grid, and to the key that was asked for. Left out: on.
    "strict": int,  # Refuse a clip that does not fit. Left out: off.
    "guide": int,  # Give the model beat and key as sound to follow. Left out: on for models trained with it.
    "format": str,  # Kind of file. Left out: wav.
    "sample_format": str,  # How samples are kept; float32 in wav and aiff only. Left out: pcm24.
}  # type: dict[str, type]
