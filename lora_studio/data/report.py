"""One HTML page on a data set: what was found, what was skipped and why, how it sounds and looks.

Self-contained: pictures and the beginnings of files are inside, and there are no scripts.
"""

import html
from collections import Counter
from pathlib import Path

from acestep.drawing import marks, sound, style
from acestep.errors import UnreadableAudio
from acestep.music.grid import SAMPLE_RATE_HZ
from lora_studio.data.dataset import Dataset, Sample
from lora_studio.data.sound import read_piece
from lora_studio.files import write_atomically

MAX_PICTURES = 60  # in a report, which a browser has to open
HEARD_S = 10.0  # of a file in its player: 60 of them are about 8 MB
TEMPO_STEP = 10  # bpm in one bar of the chart
UNSURE = 0.6  # confidence below which a tempo is counted as unsure


def write_report(dataset: Dataset, path: Path) -> None:
    """Write the page atomically."""
    used = dataset.used()
    body = [
        f"<h1>{html.escape(dataset.name)}</h1>",
        _summary(dataset),
        f'<div class="charts">{_tempi(used)}{_keys(used)}</div>',
        _skipped(dataset),
        _notes(dataset),
        _files(dataset),
        _sounds(dataset),
    ]
    write_atomically(path, style.document(f"{dataset.name}: data set", body).encode("utf-8"))


def _summary(dataset: Dataset) -> str:
    used = dataset.used()
    songs = {sample.song for sample in used if sample.song}
    stems = Counter(sample.stem or "no stem named" for sample in used)
    unsure = [s for s in used if s.sources.get("bpm", {}).get("confidence", 0) < UNSURE]
    rows = [
        ("Files used", f"{len(used)}, of them {len(dataset.used('held_out'))} held out for validation"),
        ("Audio", f"{dataset.seconds / 60:.1f} minutes in {sum(len(s.segments) for s in used)} segments"),
        ("Songs with aligned stems", str(len(songs))),
        ("Stems", ", ".join(f"{name} {count}" for name, count in stems.most_common())),
        ("Trigger word", dataset.custom_tag or "none"),
        ("Skipped", str(len(dataset.skipped))),
        ("Unsure of the tempo", str(len(unsure))),
    ]
    return style.table(("", ""), rows)


def _skipped(dataset: Dataset) -> str:
    if not dataset.skipped:
        return "<h2>Skipped</h2><p>Nothing.</p>"
    return "<h2>Skipped</h2>" + style.table(("File", "Why"), [(s.path, s.reason) for s in dataset.skipped])


def _notes(dataset: Dataset) -> str:
    if not dataset.notes:
        return ""
    return (
        "<h2>Notes</h2><ul>"
        + "".join(f"<li>{html.escape(note)}</li>" for note in dataset.notes[:500])
        + "</ul>"
    )


def _files(dataset: Dataset) -> str:
    rows = [
        (
            s.audio_path,
            _sure(f"{s.bpm:g}" if s.bpm else "–", s, "bpm"),
            _sure(s.keyscale or "–", s, "keyscale"),
            str(s.signature),
            " / ".join(part for part in (s.song, s.stem) if part) or "–",
            f"{len(s.segments)} × {s.segments[0].duration_s:.1f} s" if s.segments else "none",
            s.split.replace("_", " "),
            s.caption,
        )
        for s in dataset.samples
    ]
    head = ("File", "Tempo", "Key", "Signature", "Song / stem", "Segments", "Part", "Caption")
    return "<h2>Files</h2>" + style.table(head, rows)


def _sure(text: str, sample: Sample, name: str) -> str:
    source = sample.sources.get(name)
    if not source or text == "–":
        return text
    return f"{text} ({source['from']}, {source.get('confidence', 0):.0%})"


def _tempi(used: list[Sample]) -> str:
    """How many files are in each range of tempi, from the slowest to the fastest."""
    begins = Counter(int(sample.bpm // TEMPO_STEP) * TEMPO_STEP for sample in used if sample.bpm)
    spread = range(min(begins), max(begins) + 1, TEMPO_STEP) if begins else ()
    counts = {f"{begin}–{begin + TEMPO_STEP}": begins[begin] for begin in spread}
    return marks.bars("Tempo in bpm", counts, "no tempo found")


def _keys(used: list[Sample]) -> str:
    keys = Counter(sample.keyscale for sample in used if sample.keyscale)
    return marks.bars("Key", dict(keys.most_common()), "no keys found")


def _sounds(dataset: Dataset) -> str:
    used = dataset.used()
    cards = [_card(dataset, sample) for sample in used[:MAX_PICTURES]]
    more = f", of {len(used)} files the first {MAX_PICTURES}" if len(used) > MAX_PICTURES else ""
    told = f"Players have the first {HEARD_S:g} seconds{more}. Lines are where segments begin."
    return f'<h2>How they sound</h2><p class="soft">{told}</p><div class="cards">{"".join(cards)}</div>'


def _card(dataset: Dataset, sample: Sample) -> str:
    """A file to hear and to see, or why that is not possible."""
    path, name = dataset.path_of(sample), html.escape(sample.audio_path)
    known = (
        f"{sample.bpm:g} bpm" if sample.bpm else "",
        sample.keyscale,
        sample.stem,
        f"{sample.duration:.1f} s",
    )
    line = html.escape(" · ".join(filter(None, known)))
    try:
        picture = sound.picture_of(path)
        heard = read_piece(path, 0.0, min(HEARD_S, picture.duration_s))
    except (UnreadableAudio, OSError) as error:
        return f'<div class="card"><h3>{name}</h3><p>{html.escape(str(error))}</p></div>'
    begins = [segment.start_s for segment in sample.segments]
    return (
        f'<div class="card"><h3>{name}</h3><p class="soft">{line}</p>{marks.wave(picture, begins)}'
        f"{marks.spectrum(picture)}{marks.player(heard, SAMPLE_RATE_HZ)}</div>"
    )
