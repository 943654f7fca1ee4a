"""The settings a request from Live may have, and their types. Made from the table in acestep/request.py by `make tables`: change that table, not this file."""

TYPES = {
    "parts": str,  # An idea as parts, each a clip that fits the others, and their mix: drums, bass, chords, lead.
    "idea": str,  # Which idea `parts` are added to, or `redo` makes anew: the id that its clips share.
    "redo": str,  # Parts of the idea to make anew; the others stay.
    "prompt_b": str,  # A second prompt; `morph` says how much of each is heard.
    "morph": float,  # Between both prompts: 0 is the first alone, 1 the second. Default: 0.5.
    "bars": float,  # Length in bars; fractions are pick-ups. Default: as long as the context, else 4.
    "key": str,  # The key. Default: any.
    "swing": float,  # Long to short eighth: 1 is straight, 2 is triplets. Default: as the context has it.
    "lyrics": str,  # Words to sing, if the model can sing.
    "loudness": float,  # How loud a clip without context is, over its whole length. Default: −14; off: as it was made.
    "strength": float,  # How strongly reference and context hold. Default: 1, fully.
    "task": str,  # What to do. Default: text, or complete where there is a context to fit to.
    "track": str,  # For lego and extract: which instrument; for complete: several, separated by |.
    "adapter": str,  # Adapters made by lora_studio, each with how strongly it is used.
    "takes": int,  # How many clips to make. Default: 1.
    "candidates": int,  # How many are made for each take; the best fitting one is kept. Default: 1.
    "seed": int,  # The same seed gives the same clip; take k has seed + k. Default: a new one each time.
    "family": int,  # Vary the music of this seed: each take by its own seed, as far as `variation` says. Default: none.
    "variation": float,  # How far a clip is from its family: 0 is the family's own music, 1 is unrelated. Default: 0.5.
    "cascade": str,  # Which model makes it; `acestep models` lists them. Default: the daemon's.
    "stages": str,  # Only these stages of the model, for example l, m. Default: all.
    "steps": int,  # How many steps the model takes: fewer are faster. Default: its own number.
    "guidance": float,  # How closely the model keeps to the prompt. Default: its own value.
    "fit": int,  # Bring the clip to the grid, and to the key that was asked for. Default: on.
    "strict": int,  # Refuse a clip that does not fit. Default: off.
    "guide": int,  # Give the model beat and key as sound to follow. Default: on for models trained with it.
    "format": str,  # Kind of file. Default: wav.
    "sample_format": str,  # How samples are kept; float32 in wav and aiff only. Default: pcm24.
    "midi": int,  # Write the notes of each clip into a MIDI file beside it: NAME.mid. Default: off.
}  # type: dict[str, type]
