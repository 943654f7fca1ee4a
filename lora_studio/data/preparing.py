"""From a folder of audio to a data set: surveys, facts, segments, captions and the held-out files.

The musician's own words win: manifest, then sidecar, tags, file name, measurement. Files that cannot be
used are listed with the reason and never stop the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from acestep.console.command import explain
from acestep.errors import InvalidRequest
from lora_studio.data import captions
from lora_studio.data.captions import Tags, read_tags
from lora_studio.data.dataset import Dataset, Sample, Skipped, hold_out, sample_from, signature_field
from lora_studio.data.names import NameFacts, read_name
from lora_studio.data.scan import Found, Group, Scan, scan
from lora_studio.data.segments import Limits, Seen, Segment, cut, is_loop, is_silent
from lora_studio.data.sound import UNPITCHED, Heard, Survey, key_on, listen, read_piece, survey

# Chosen by hand.
SAID_AT_LEAST = 0.6  # how sure a source must be of a tempo for another to contradict it
SAME_TEMPO = 0.005  # relative: two tempi closer than this are one
BY_LENGTH = 0.98  # above a tag alone
BY_BEATS = "beats in tags"
NOT_LOOKED_AT = "not looked at: the time was up"
FEWEST_FILES = 2  # one to train on, and one held out
MIN_SECONDS = 10.0  # of audio, to train on
T = TypeVar("T")
OnFile = Callable[[int, int, str], None]


@dataclass
class _Facts:
    """A sample in the making, with what its file was found to be."""

    sample: Sample
    survey: Survey
    tags: Tags
    name: NameFacts
    file: Found
    heard: Heard | None = None
    tempo_by_length: str = ""  # of several sources, the one that the length speaks for


@dataclass
class _Work:
    """What is known while groups are worked through one after the other."""

    scan: Scan
    dataset: Dataset
    limits: Limits
    contents: dict[str, str] = field(default_factory=dict)
    seen: Seen | None = None


def prepare(
    folder: Path,
    *,
    name: str = "",
    trigger: str = "",
    limits: Limits | None = None,
    again: bool = False,
    on_file: OnFile | None = None,
    over: Callable[[], bool] = lambda: False,
) -> Dataset:
    """Scan and measure a folder → Dataset. Entries of an earlier dataset.json are kept as edited.

    `again` measures everything anew; where `over` says that the time is up, what has not been looked at is
    skipped. Raises InvalidRequest when nothing in the folder can be used.
    """
    found = scan(folder)
    earlier = found.dataset
    dataset = Dataset(
        name=name or (earlier.name if earlier else folder.resolve().name),
        root=folder.resolve(),
        custom_tag=trigger or (earlier.custom_tag if earlier else ""),
        tag_position=earlier.tag_position if earlier else "prepend",
        skipped=found.skipped,
        notes=found.notes,
    )
    work = _Work(found, dataset, limits or Limits())
    work.seen = Seen(lambda owner, part: read_piece(folder / str(owner), part.start_s, part.duration_s))
    total, done = sum(len(group.files) for group in found.groups), 0
    for group in found.groups:
        if over() and len(dataset.samples) >= FEWEST_FILES and dataset.seconds >= MIN_SECONDS:
            dataset.skipped += [Skipped(file.relative, NOT_LOOKED_AT) for file in group.files]
            continue
        _add_group(work, group, again)
        done += len(group.files)
        if on_file:
            on_file(done, total, group.files[-1].relative)
    dataset.samples.sort(key=lambda sample: sample.audio_path)
    if not dataset.used():
        raise InvalidRequest(_nothing_usable(folder, dataset))
    hold_out(dataset)
    return dataset


def _nothing_usable(folder: Path, dataset: Dataset) -> str:
    reasons = [f"{entry.path}: {entry.reason}" for entry in dataset.skipped[:5]]
    more = len(dataset.skipped) - len(reasons)
    return (
        f"nothing in {folder} can be trained on; {len(dataset.skipped)} files were skipped:\n  "
        + "\n  ".join(reasons)
        + (f"\n  … and {more} more" if more > 0 else "")
    )


def _add_group(work: _Work, group: Group, again: bool) -> None:
    facts: list[_Facts] = []
    for file in group.files:
        kept = None if again else _step(work, file, _unchanged, file, work.limits)
        if kept is not None and not group.song:
            work.contents.setdefault(kept.content, file.relative)
            work.dataset.samples.append(kept)
            continue
        made = _step(work, file, _facts, work, group, file)
        if made:
            facts.append(made)
    for one in facts:
        work.dataset.notes += _contradictions(one)
    while facts:
        try:
            _settle_tempo(facts)
            _settle_key(facts)
            break
        except _Unheard as error:  # the others of its song are settled without it
            work.dataset.skipped.append(Skipped(error.one.file.relative, _reason(error.one.file, error.why)))
            facts.remove(error.one)
    for one in facts:
        if _step(work, one.file, _cut, work, one, bool(group.song)):
            work.dataset.samples.append(one.sample)


class _Unheard(Exception):
    """A file that cannot be measured."""

    def __init__(self, one: _Facts, why: Exception) -> None:
        super().__init__(str(why))
        self.one, self.why = one, why


def _step(work: _Work, file: Found, step: Callable[..., T], *args: Any) -> T | None:
    """One step with one file; where it fails, whatever the reason, the file is listed and the run goes on."""
    try:
        return step(*args)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (a folder of thousands does not end for one of them)
        work.dataset.skipped.append(Skipped(file.relative, _reason(file, error)))
        return None


def _reason(file: Found, error: Exception) -> str:
    """Why a file is skipped, in a sentence, without the folder in front of its name."""
    return explain(error)[1].replace(str(file.path), file.path.name)


def _unchanged(file: Found, limits: Limits) -> Sample | None:
    """The earlier entry, if neither the file nor what its segments hang on has changed since."""
    sample = file.manifest
    if sample is None or sample.sources.get("file") != _file_stamp(file.path):
        return None
    return sample if sample.sources.get("cut") == _cut_stamp(sample, limits) else None


def _file_stamp(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _cut_stamp(sample: Sample, limits: Limits) -> dict[str, Any]:
    return {
        "bpm": sample.bpm,
        "timesignature": sample.timesignature,
        "downbeat_s": sample.downbeat_s,
        "shortest_s": limits.shortest_s,
        "longest_s": limits.longest_s,
    }


def _facts(work: _Work, group: Group, file: Found) -> _Facts | None:
    skip = work.dataset.skipped
    seen = survey(file.path)
    if seen.seconds < work.limits.shortest_s:
        skip.append(
            Skipped(file.relative, f"lasts {seen.seconds:.2f} s: shorter than {work.limits.shortest_s:g} s")
        )
        return None
    if is_silent(Segment(0, seen.seconds), seen):
        skip.append(Skipped(file.relative, "silent"))
        return None
    twin = work.contents.setdefault(seen.content, file.relative)
    if twin != file.relative:
        skip.append(Skipped(file.relative, f"the same audio as {twin}"))
        return None
    tags, name = read_tags(file.path), read_name(file.path.stem)
    work.dataset.notes += [f"{file.relative}: {note}" for note in (*seen.notes, *tags.unread)]
    sample = _described(work, file, seen, tags, group.stems.get(file.relative, ""))
    sample.song = group.song
    sample.content = seen.content
    sample.duration = round(seen.seconds, 4)
    sample.sources["file"] = _file_stamp(file.path)
    return _Facts(sample, seen, tags, name, file)


def _described(work: _Work, file: Found, seen: Survey, tags: Tags, stem: str) -> Sample:
    """Words and fields: manifest > sidecar > tags > measurement."""
    sidecar = captions.read_sidecars(file.path)
    work.dataset.notes += [f"{file.relative}: {note}" for note in sidecar.notes]
    beside, notes = sample_from({"audio_path": file.relative, **sidecar.values}, f"beside {file.relative}")
    work.dataset.notes += notes
    manifest = file.manifest or Sample(file.relative)
    sample = manifest if file.manifest else Sample(file.relative)
    for field_name in ("caption", "lyrics", "keyscale", "timesignature", "custom_tag", "genre", "stem"):
        for value, source in (
            (getattr(manifest, field_name), "manifest"),
            (getattr(beside, field_name), "sidecar"),
        ):
            if value:
                setattr(sample, field_name, value)
                sample.sources.setdefault(field_name, {"from": source, "confidence": 1.0})
                break
    cut_at = sample.sources.get("cut")
    if cut_at and cut_at.get("bpm") != sample.bpm:
        sample.sources["bpm"] = {"from": "edited", "confidence": 1.0}
    if sample.bpm is not None:
        sample.sources.setdefault("bpm", {"from": "manifest", "confidence": 1.0})
    if sample.bpm is None and beside.bpm is not None:
        sample.bpm, sample.sources["bpm"] = beside.bpm, {"from": "sidecar", "confidence": 1.0}
    if beside.lyrics and not manifest.lyrics:
        sample.is_instrumental = beside.is_instrumental
    if sample.language == "unknown":
        sample.language = beside.language
    sample.stem = sample.stem or stem
    if not sample.caption:
        text, source = captions.caption_from(file.path, tags, sample.stem, seen)
        sample.caption, sample.sources["caption"] = text, {"from": source, "confidence": 0.5}
    return sample


def _settle_tempo(facts: list[_Facts]) -> None:
    """One tempo, signature and downbeat for the files of a song: the surest one found."""
    best: tuple[float, float, str] | None = None
    signature = ""
    for one in facts:
        for bpm, confidence, source in _tempo_claims(one):
            confidence = BY_LENGTH if source == one.tempo_by_length else confidence
            if bpm and (best is None or confidence > best[0]):
                best = (confidence, float(bpm), source)
        signature = signature or one.sample.timesignature or _signature(one)
    if best is None:
        heard = [_hear(one) for one in facts]
        surest = max(heard, key=lambda found: found.bpm_confidence)
        if surest.bpm:
            best = (surest.bpm_confidence, _rounded(surest.bpm), "measured")
    for one in facts:
        one.sample.timesignature = one.sample.timesignature or signature
        if best is None:
            one.sample.sources["bpm"] = {"from": "nothing", "confidence": 0.0}
            continue
        confidence, bpm, source = best
        if one.sample.bpm is None:
            one.sample.bpm = bpm
            one.sample.sources["bpm"] = {"from": source, "confidence": round(confidence, 2)}
    _settle_downbeat(facts)


def _contradictions(one: _Facts) -> list[str]:
    """Says where tag, name and length name different tempi, and which of them is used."""
    named = {
        source: bpm for bpm, confidence, source in _tempo_claims(one) if bpm and confidence >= SAID_AT_LEAST
    }
    if len(named) < 2 or max(named.values()) <= min(named.values()) * (1 + SAME_TEMPO):
        return []
    first = next(iter(named))
    said = ", ".join(f"{bpm:g} ({source})" for source, bpm in named.items())
    fitting = [
        source for source, bpm in named.items() if is_loop(one.survey.seconds, bpm, one.sample.signature)
    ]
    length = f"; its length is whole bars at {', '.join(f'{named[s]:g}' for s in fitting)}" if fitting else ""
    if fitting and first not in fitting and one.sample.bpm is None:
        first = fitting[0]  # two witnesses against one
        one.tempo_by_length = first
    return [f"{one.sample.audio_path}: its tempo is said to be {said}{length}: {named[first]:g} is used"]


def _rounded(bpm: float) -> float:
    """A measured tempo within 0.05 % of a whole number is that number: music is made on whole tempi."""
    return float(round(bpm)) if abs(bpm - round(bpm)) < 0.0005 * bpm else round(bpm, 3)


def _tempo_claims(one: _Facts) -> list[tuple[float | None, float, str]]:
    signature = one.sample.signature
    beats_bpm = None
    if one.tags.beats and one.survey.seconds:
        beats_bpm = one.tags.beats * 4 / signature.denominator * 60 / one.survey.seconds
    return [
        (one.sample.bpm, 1.0, one.sample.sources.get("bpm", {}).get("from", "manifest")),
        (one.tags.bpm, 0.97, "tags"),
        (one.name.bpm, one.name.bpm_confidence, "file name"),
        (beats_bpm if beats_bpm and 30 <= beats_bpm <= 300 else None, 0.8, BY_BEATS),
    ]


def _signature(one: _Facts) -> str:
    text = one.tags.signature or one.name.signature
    if not text:
        return ""
    made, _ = sample_from({"audio_path": one.sample.audio_path, "timesignature": text}, "tags")
    return made.timesignature


def _settle_downbeat(facts: list[_Facts]) -> None:
    first = facts[0].sample
    if first.bpm is None:
        return
    bar_s = first.signature.quarters_per_bar * 60 / first.bpm
    seconds = [one.survey.seconds for one in facts]
    if max(seconds) < bar_s or any(is_loop(each, first.bpm, first.signature) for each in seconds):
        downbeat_s = 0.0  # a single hit has no bar to find, and a loop starts with one
    elif any(one.sample.downbeat_s for one in facts):
        downbeat_s = max(one.sample.downbeat_s for one in facts)
    else:
        heard = max((_hear(one) for one in facts), key=lambda found: found.bpm_confidence)
        downbeat_s = round(heard.downbeat_s % bar_s, 4)
    for one in facts:
        one.sample.downbeat_s = downbeat_s
        one.sample.timesignature = one.sample.timesignature or signature_field(one.sample.signature)


def _settle_key(facts: list[_Facts]) -> None:
    """One key for the files of a song; drums alone have none."""
    claims: list[tuple[float, str, str]] = []
    for one in facts:
        if one.sample.keyscale:
            claims.append(
                (1.0, one.sample.keyscale, one.sample.sources.get("keyscale", {}).get("from", "manifest"))
            )
        if one.tags.key:
            claims.append((0.97, one.tags.key, "tags"))
        if one.name.key:
            claims.append((one.name.key_confidence, one.name.key, "file name"))
    tonal = [one for one in facts if one.sample.stem not in UNPITCHED]
    if not claims or max(claims)[0] < 0.6:
        for one in tonal:
            heard = _hear(one)
            if heard.key:
                claims.append((heard.key_confidence, key_on(heard.key, _root(one)), "measured"))
    if not claims:
        return
    confidence, key, source = max(claims)
    for one in tonal if source == "measured" else facts:
        if not one.sample.keyscale:
            one.sample.keyscale = key
            one.sample.sources["keyscale"] = {"from": source, "confidence": round(confidence, 2)}


def _root(one: _Facts) -> int | None:
    return one.name.root if one.tags.root is None else one.tags.root


def _hear(one: _Facts) -> Heard:
    if one.heard is None:
        try:
            one.heard = listen(one.file.path, one.survey.seconds)
        except MemoryError:
            raise
        except Exception as error:
            raise _Unheard(one, error) from error
    return one.heard


def _cut(work: _Work, one: _Facts, is_song: bool) -> bool:
    """Segments of one file, without silent ones; lone files also without those heard before. True: done."""
    sample, seen = one.sample, work.seen
    sample.sources["cut"] = _cut_stamp(sample, work.limits)
    sample.segments = []
    silent = repeated = 0
    pieces = cut(one.survey.seconds, sample.bpm, sample.signature, sample.downbeat_s, work.limits)
    for piece in pieces:
        if is_silent(piece, one.survey):
            silent += 1
        elif not is_song and seen and seen.find_or_add(sample.audio_path, piece, one.survey):
            repeated += 1  # in a song the same drums under other chords are worth keeping
        else:
            sample.segments.append(piece)
    for count, what in ((silent, "silent"), (repeated, "repeated")):
        if count:
            where = f"{sample.audio_path}"
            work.dataset.skipped.append(Skipped(where, f"{count} of {len(pieces)} segments are {what}"))
    if not sample.segments and not silent and not repeated:
        work.dataset.skipped.append(Skipped(sample.audio_path, "no segment of allowed length fits"))
    return True
