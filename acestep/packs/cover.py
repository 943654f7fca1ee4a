"""The cover page of a pack: what is in it, to see and to hear, without network and without scripts."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from acestep.clips.wording import describe
from acestep.drawing import marks, style
from acestep.drawing.sound import picture_of
from acestep.music.grid import Grid, Signature
from acestep.packs.licence import sources

if TYPE_CHECKING:
    from acestep.clips.clip import Clip
    from acestep.packs.kit import Sample
    from acestep.packs.manifest import Pack

COLUMNS = 600  # of a waveform: about twice as fine as a card shows it
NO_LINES: tuple[float, ...] = ()


def cover(folder: Path, pack: "Pack", clips: Mapping[str, "Clip"], samples: "Sequence[Sample]") -> str:
    """The page of the pack that lies in `folder`. `clips` are those of the pack by their files there."""
    body = [f"<h1>{html.escape(pack.title)}</h1>", f'<p class="soft">{html.escape(_facts(pack, clips))}</p>']
    if pack.mix and pack.mixed_here:
        body.append(_card(folder, pack.mix, "mix", "the sum of the stems", _bars(next(iter(clips.values())))))
    body.append('<div class="cards">')
    for one in pack.clips:
        clip = clips[one.file]
        more = [f'<a href="{quote(one.midi)}">MIDI</a>'] if one.midi else []
        said = "; ".join([f"“{clip.prompt}”", describe(clip), *sources(clip)])
        title = one.part or Path(one.file).stem
        body.append(_card(folder, one.file, title, said, _bars(clip), more))
    body.append("</div>")
    if samples:
        body += ["<h2>Kit</h2>", _kit(samples)]
    body += [f'<p class="soft">{html.escape(note)}</p>' for note in pack.notes]
    body.append(
        '<p class="soft">How it was made, and under which terms: <a href="LICENSE.txt">LICENSE.txt</a>. '
        "To have the clips in your library: <code>acestep import</code> with this pack.</p>"
    )
    return style.document(pack.title, body)


def _facts(pack: "Pack", clips: Mapping[str, "Clip"]) -> str:
    first = next(iter(clips.values()))
    tempo = f"{first.bpm:g} bpm {first.signature}" if first.bpm else ""
    count = f"{len(clips)} clip{'' if len(clips) == 1 else 's'}"
    return " · ".join(word for word in (count, tempo, first.key, pack.created[:10], pack.made_by) if word)


def _card(
    folder: Path, file: str, title: str, said: str, lines_s: Sequence[float], more: Sequence[str] = ()
) -> str:
    wave = marks.wave(picture_of(folder / file, COLUMNS), lines_s, f"waveform of {title}")
    links = " · ".join([f'<a href="{quote(file)}">{html.escape(Path(file).name)}</a>', *more])
    return (
        f'<div class="card"><h3>{html.escape(title)}</h3>{wave}'
        f'<audio controls preload="none" aria-label="{html.escape(title)}" src="{quote(file)}"></audio>'
        f'<p class="soft">{html.escape(said)}</p><p class="soft">{links}</p></div>'
    )


def _bars(clip: "Clip") -> Sequence[float]:
    return Grid(clip.bpm, Signature.parse(clip.signature), clip.bars).bar_times_s() if clip.bpm else NO_LINES


def _kit(samples: "Sequence[Sample]") -> str:
    cards = []
    for one in samples:
        file, title = f"kit/samples/{one.name}", html.escape(Path(one.name).stem)
        cards.append(
            f'<div class="card"><h3>{title}</h3>'
            f'<audio controls preload="none" aria-label="{title}" src="{quote(file)}"></audio></div>'
        )
    return f'<div class="charts">{"".join(cards)}</div>'
