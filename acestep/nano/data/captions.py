# ruff: noqa: E501 (tables read better in one line a row)
"""What a musician might type for a loop: true facts in many words, some left out, some misspelt, some useless.

Also writes the whole prompt in the checkpoint's template.
"""

import numpy as np

from acestep.music.key import PITCH_NAMES, Key
from acestep.nano.data.compose import Loop
from acestep.nano.data.styles import STYLE_BY_NAME

PROMPT_TEMPLATE = "{instruction}\n{caption}\n{metas}"
ROLE_WORDS = {
    "drums": ("drums", "drum loop", "beat", "drum beat", "breakbeat", "drum groove", "rhythm", "drum kit", "kick and snare", "break"),
    "percussion": ("percussion", "percussion loop", "congas and shakers", "perc loop", "hand percussion", "shaker", "bongos", "top loop"),
    "bass": ("bass", "bassline", "bass line", "low end", "sub bass", "bass loop", "bass riff"),
    "chords": ("chords", "chord progression", "harmony", "stabs", "comping", "keys", "rhythm part"),
    "pad": ("pad", "pads", "sustained pad", "background pad", "atmosphere", "wash", "texture"),
    "lead": ("lead", "melody", "lead melody", "solo", "topline", "riff", "hook"),
    "arp": ("arp", "arpeggio", "arpeggiated synth", "arpeggiator", "sequence", "plucks", "pluck"),
}  # fmt: skip
TRACKS = {
    "drums": "drums",
    "percussion": "percussion",
    "bass": "bass",
    "chords": "keyboard",
    "pad": "strings",
    "lead": "lead",
    "arp": "synth",
}
TRACK_SYNONYMS = {
    "drums": ("drums", "drum", "beat"), "percussion": ("percussion", "perc"), "bass": ("bass",),
    "chords": ("keyboard", "chords", "guitar", "keys", "piano", "brass"), "pad": ("pad", "strings", "pads"),
    "lead": ("lead", "melody", "woodwinds", "fx"), "arp": ("synth", "arp", "arpeggio"),
}  # fmt: skip
TEMPO_WORDS = (
    (78, ("slow", "downtempo", "very slow", "laid back")), (100, ("mid tempo", "relaxed", "steady", "moderate")),
    (128, ("medium tempo", "upbeat", "grooving", "moving")), (150, ("fast", "uptempo", "energetic", "driving")),
    (999, ("very fast", "high tempo", "frantic", "high energy")),
)  # fmt: skip
MINOR_WORDS = ("dark", "moody", "melancholic", "sad", "minor key", "serious", "emotional")
MAJOR_WORDS = ("happy", "bright", "uplifting", "major key", "cheerful", "sunny", "positive")
USELESS = ("high quality", "loop", "seamless loop", "instrumental", "no vocals", "professional", "for my track", "clean mix", "wav", "sample pack", "please", "royalty free", "48khz", "make me", "nice")  # fmt: skip
SIGNATURE_WORDS = {
    "3/4": ("waltz", "in three", "3/4"),
    "6/8": ("6/8", "compound meter", "in six", "rolling triplets"),
}
MANNERS = {
    "strummed": ("strummed", "strummed", "strumming"), "picked": ("picked", "fingerpicked", "arpeggiated"),
    "sustained": ("sustained", "long", "held"), "legato": ("legato", "flowing", "smooth"),
    "ghosted": ("ghost note", "shuffling", "detailed"),
}  # fmt: skip
FILL_WORDS = {2: ("with a fill", "drum fill", "fill at the end"), 4: ("with a fill every 4 bars", "with fills", "drum fills", "fill at the end", "with variation"),
              8: ("with a fill every 8 bars", "fill at the end", "with a drum fill", "with variation")}  # fmt: skip
STEADY_WORDS = ("no fills", "without fills", "steady", "straight", "the same in every bar")
DARK_HZ, CLOSED_DB = 6000, -5.0
DARK_WORDS = ("dark hats", "dark cymbals", "soft cymbals", "dull hats", "muffled hats")
OPENINGS = (
    "",
    "",
    "",
    "a ",
    "some ",
    "i want a ",
    "give me ",
    "make ",
    "generate ",
    "the sound of ",
    "create a ",
)
TEXT_INSTRUCTION = "Fill the audio semantic mask based on the given conditions:"
LEGO_INSTRUCTION = "Generate the {} track based on the audio context:"
COMPLETE_INSTRUCTION = "Complete the input track with {}:"
REPAINT_INSTRUCTION = "Repaint the mask area based on the given conditions:"


def caption(
    loop: Loop,
    roles: tuple[str, ...],
    random: np.random.Generator,
    messy: bool = True,
    bars: float | None = None,
) -> str:
    """Words for the given parts of a loop; never nothing; one part alone is always named. `bars` is how much of
    it is heard, from its start: fills that come later are not told of.
    """
    style = STYLE_BY_NAME[loop.style]
    facts: list[str] = []
    if random.random() < 0.85 or len(roles) > 2:
        facts.append(_one(random, style.words) if random.random() < 0.75 else style.name)
        if loop.harmony_style != loop.style and random.random() < 0.8:
            facts.append("with " + _one(random, STYLE_BY_NAME[loop.harmony_style].words))
    if random.random() < 0.45:
        facts.insert(0, _one(random, style.moods))
    if len(roles) == 1:
        facts.append(_named(loop, roles[0], random))
        if random.random() < 0.3:
            facts.append(_one(random, ("only", "by itself", "alone", "isolated", "stem", "nothing else")))
    elif len(roles) < len(loop.parts) or random.random() < 0.6:
        # two at least: who names one instrument means it alone
        few = min(2, len(roles))
        shown = (
            list(roles)
            if random.random() < 0.5
            else list(random.permutation(roles)[: int(random.integers(few, len(roles) + 1))])
        )
        facts += [_named(loop, role, random) for role in shown]
    elif random.random() < 0.4:
        facts.append(
            _one(random, ("full mix", "full loop", "band", "track", "music", "song", "full arrangement"))
        )
    if "drums" in roles:
        facts += _drumming(loop, random, loop.grid.bars if bars is None else bars)
    if random.random() < 0.25:
        facts.append(_one(random, next(words for limit, words in TEMPO_WORDS if loop.grid.bpm < limit)))
    pitched = any(role not in ("drums", "percussion") for role in roles)
    if pitched and random.random() < 0.25:
        facts.append(_one(random, MINOR_WORDS if loop.key.mode == "minor" else MAJOR_WORDS))
    if pitched and random.random() < 0.12:
        facts.append(_one(random, ("in {}", "key of {}", "{}")).format(spelt(loop.key, random)))
    if random.random() < 0.08:
        facts.append(f"{loop.grid.bpm:.0f} bpm")
    if str(loop.grid.signature) in SIGNATURE_WORDS and random.random() < 0.4:
        facts.append(_one(random, SIGNATURE_WORDS[str(loop.grid.signature)]))
    if loop.crackle and random.random() < 0.5:
        facts.append(_one(random, ("vinyl crackle", "dusty", "vinyl", "tape")))
    if not facts:
        facts.append(_named(loop, roles[0], random))
    if messy:
        facts = _mess(facts, random)
    joint = _one(random, (", ", " ", ", ", " and ", " - "))
    return (_one(random, OPENINGS) if messy and random.random() < 0.4 else "") + joint.join(facts)


def _drumming(loop: Loop, random: np.random.Generator, bars: float) -> list[str]:
    """Whether there are fills, and what cymbals sound like."""
    facts, drums = [], loop.part("drums")
    if 0 < loop.fills <= bars + 0.05:
        facts += [_one(random, FILL_WORDS[loop.fills])] if random.random() < 0.75 else []
    elif not loop.fills and bars >= 2 and random.random() < 0.2:
        facts.append(_one(random, STEADY_WORDS))
    if 0 < drums.cymbals_hz < DARK_HZ and drums.cymbals_db < CLOSED_DB and random.random() < 0.3:
        facts.append(_one(random, DARK_WORDS))
    return facts


def spelt(key: Key, random: np.random.Generator) -> str:
    """A key as people write it."""
    name = PITCH_NAMES[key.tonic]
    return _one(random, (f"{name} {key.mode}", key.short, f"{name.lower()} {key.mode[:3]}"))


def metas(
    loop: Loop,
    duration_s: float,
    random: np.random.Generator | None = None,
    drop: float = 0.0,
    keyed: bool = True,
) -> str:
    """ACE-Step's metadata lines; `drop` is the chance of N/A, each on its own."""

    def kept() -> bool:
        return random is None or random.random() >= drop

    bpm = "N/A"
    if kept():
        exact = random is not None and random.random() < 0.3
        bpm = f"{loop.grid.bpm:g}" if exact else f"{loop.grid.bpm:.0f}"
    signature = str(loop.grid.signature.numerator) if kept() else "N/A"
    key = str(loop.key) if keyed and kept() else "N/A"
    return f"- bpm: {bpm}\n- timesignature: {signature}\n- keyscale: {key}\n- duration: {int(duration_s)} seconds\n"


def prompt(instruction: str, text: str, meta: str) -> str:
    """The whole text the encoder reads."""
    return PROMPT_TEMPLATE.format(instruction=instruction, caption=text, metas=meta)


def _named(loop: Loop, role: str, random: np.random.Generator) -> str:
    instrument = _one(random, tuple(loop.words[role].split("|")))
    word = _one(random, ROLE_WORDS[role])
    manner = MANNERS.get(loop.part(role).manner)
    if manner and random.random() < 0.5:
        instrument = f"{_one(random, manner)} {instrument}"
    draw = random.random()
    if role in ("drums", "percussion"):
        return f"{instrument} {word}" if draw < 0.4 else word
    if draw < 0.35:
        return f"{instrument} {word}"
    return instrument if draw < 0.6 and instrument != "synth" else word


def _mess(facts: list[str], random: np.random.Generator) -> list[str]:
    if random.random() < 0.3:
        facts.insert(int(random.integers(len(facts) + 1)), _one(random, USELESS))
    if random.random() < 0.15 and len(facts) > 1:
        facts = list(random.permutation(facts))
    if random.random() < 0.08:  # a slip of the fingers
        index = int(random.integers(len(facts)))
        word = facts[index]
        place = int(random.integers(max(len(word) - 1, 1)))
        facts[index] = word[:place] + word[place + 1 :]
    return [str(fact) for fact in facts]


def _one(random: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(random.integers(len(options)))]
