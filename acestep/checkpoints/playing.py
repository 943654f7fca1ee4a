"""Which parts of an idea a checkpoint can play, and by which task and track it plays them."""

from acestep.checkpoints.checkpoint import CascadeSpec
from acestep.errors import Unsupported
from acestep.music.parts import Part

PERCUSSIVE = ("drums", "drum", "beat", "percussion", "perc")  # parts that have a rhythm and no notes
# Names that musicians have for parts → the tracks that play them, the likeliest first.
PLAYED_BY = {
    "beat": ("drums",),
    "drum": ("drums",),
    "perc": ("percussion",),
    "chords": ("keyboard", "keys", "piano", "guitar"),
    "keys": ("keyboard", "piano"),
    "piano": ("keyboard", "keys"),
    "pad": ("pads", "strings", "synth"),
    "pads": ("pad", "strings", "synth"),
    "lead": ("melody", "synth"),
    "melody": ("lead", "synth"),
    "arp": ("arpeggio", "synth"),
    "arpeggio": ("arp", "synth"),
    "voice": ("vocals",),
    "choir": ("backing_vocals",),
}

# How parts are usually called, in the order in which they are built upon one another.
USUAL = (
    *("drums", "percussion", "bass", "chords", "keys", "guitar", "pad", "strings", "lead", "arp"),
    *("brass", "woodwinds", "synth", "vocals", "backing_vocals", "fx"),
)


def track_of(part: str, spec: CascadeSpec) -> str:
    """The track by which the checkpoint knows a part; "" for a part that it cannot play."""
    return next((name for name in (part, *PLAYED_BY.get(part, ())) if name in spec.tracks), "")


def playable(spec: CascadeSpec) -> list[str]:
    """Every part that the checkpoint can play, by all its names."""
    return sorted(name for name in {*spec.tracks, *PLAYED_BY} if track_of(name, spec))


def usual(spec: CascadeSpec) -> tuple[str, ...]:
    """The parts that the checkpoint can play, each by its usual name."""
    return tuple(name for name in USUAL if track_of(name, spec))


def refuse_unplayable(parts: tuple[Part, ...], spec: CascadeSpec) -> None:
    """Raise Unsupported for parts that the checkpoint does not know, naming those that it does."""
    unknown = [part.name for part in parts if not track_of(part.name, spec)]
    if unknown:
        raise Unsupported(
            f"checkpoint {spec.name} cannot play {', '.join(unknown)}: expected parts out of "
            f"{', '.join(playable(spec))}"
        )


def context_task(spec: CascadeSpec) -> str:
    """The task that adds one part to others; "text" where the checkpoint hears no context."""
    return next((task for task in ("lego", "complete") if spec.can(task)), "text")
