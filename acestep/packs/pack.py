"""A pack: clips as a folder or ZIP file to take away, with all that belongs to them.

`stems/01_drums_92.5bpm_Am.wav` …, each with its sidecar and MIDI; `mix_92.5bpm_Am.wav`; the kit of its hits
in `kit/`; `index.html` to look and listen, without network; `LICENSE.txt`, which tells how it was made; and
`pack.json`, by which `acestep import` reads it back. A pack appears whole or not at all, over nothing.
"""

import json
import shutil
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from acestep.checkpoints.fingerprint import file_hash
from acestep.clips.clip import COMPANIONS, Clip, slug, storage_errors
from acestep.errors import AlreadyExists, InvalidRequest, NotFound
from acestep.files import appearing_folder, flush, hidden_in, remove_left_over, rename_new
from acestep.music.key import Key
from acestep.packs.cover import cover
from acestep.packs.kit import Sample, find_samples, write_samples
from acestep.packs.licence import licence
from acestep.packs.manifest import (
    COVER,
    KIT,
    LICENCE,
    MANIFEST,
    MIX,
    MOST_CLIPS,
    PACK_FORMAT,
    STEMS,
    Pack,
    Packed,
)
from acestep.sound.audio import read_audio
from acestep.sound.encode import encode
from acestep.sound.limiter import CEILING_DB
from acestep.sound.loudness import true_peak_db
from acestep.sound.riff import MusicalData
from acestep.sources.claim import SOFTWARE
from acestep.sources.sidecar import SIDECAR_ENDING, read_sidecar, sidecar_text
from acestep.version import __version__

ZIP = ".zip"
PATHS = ("path", "cascade")  # values of a sidecar that may tell where files lie on the maker's machine
WAYS_BACK = ("trashed_from", "renamed_from")


def write_pack(files: Sequence[Path], out: Path) -> Pack:
    """Packs the clips of `files` (each with its sidecar) into a new folder, or a new file `*.zip`.

    Raises NotFound for a clip that is not there, InvalidRequest for one without a sidecar or for too many,
    AlreadyExists where `out` exists, StorageError.
    """
    clips = [_clip(file) for file in files]
    if not 1 <= len(clips) <= MOST_CLIPS:
        raise InvalidRequest(f"{len(clips)} clips are not possible in one pack: expected 1–{MOST_CLIPS}")
    if out.exists():
        raise AlreadyExists(f"{out} exists, and nothing is overwritten: name another folder or file")
    with storage_errors(out.parent):
        if out.suffix.lower() != ZIP:
            with appearing_folder(out) as hidden:
                return _fill(hidden, clips)
        return _write_zip(out, clips)


def _write_zip(out: Path, clips: Sequence[Clip]) -> Pack:
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(out.parent)
    hidden = hidden_in(out.parent)
    try:
        hidden.mkdir()
        pack = _fill(hidden, clips)
        body = hidden / f"pack{ZIP}"
        _zip(hidden, body, out.stem)
        flush(body)
        if not rename_new(body, out):
            raise AlreadyExists(f"{out} exists, and nothing is overwritten: name another file")
        return pack
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def clip_name(clip: Clip, what: str = "") -> str:
    """What a clip is called in a pack, without number and ending: `drums_92.5bpm_Am`, `punchy-kick`."""
    words = [what or slug(said(clip, "part") or clip.prompt)]
    if clip.bpm:
        words.append(f"{clip.bpm:.6g}bpm")
    if clip.key:
        words.append(Key.parse(clip.key).short.replace("#", "s"))  # # is no letter in URLs
    return "_".join(words)


def said(clip: Clip, name: str) -> str:
    """What the clip's sidecar says of its `idea` or its `part`; "" for a clip that stands alone."""
    value = clip.sidecar.get("clip", {}).get(name)
    return value if isinstance(value, str) else ""


def _clip(file: Path) -> Clip:
    if not file.is_file():
        raise NotFound(
            f"{file} is not there: it was moved, renamed or trashed since; name the clip where it is"
        )
    return Clip.load(file)


def _fill(folder: Path, clips: Sequence[Clip]) -> Pack:
    """Writes all files of the pack into an empty folder."""
    notes: list[str] = []
    stems = [clip for clip in clips if said(clip, "part") != MIX]
    mixes = [clip for clip in clips if said(clip, "part") == MIX]
    (folder / STEMS).mkdir()
    names = {
        clip.path: f"{STEMS}/{place:02d}_{clip_name(clip)}{Path(clip.path).suffix}"
        for place, clip in enumerate(stems, 1)
    }
    for place, clip in enumerate(mixes, 1):
        what = MIX if place == 1 else f"{MIX}-{place}"
        names[clip.path] = f"{clip_name(clip, what)}{Path(clip.path).suffix}"
    packed = tuple(_copy(clip, folder, names) for clip in (*stems, *mixes))
    mix, gain_db = (names[mixes[0].path], 0.0) if mixes else _mixed(folder, stems, notes)
    samples = _kit(folder, stems, notes)
    first = clips[0]
    pack = Pack(
        PACK_FORMAT,
        f"{SOFTWARE}{__version__}",
        first.prompt or first.name,
        said(first, "idea"),
        time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        packed,
        mix,
        bool(mix) and not mixes,
        round(gain_db, 2),
        bool(samples),
        tuple(notes),
    )
    told = {one.file: clip for one, clip in zip(packed, (*stems, *mixes), strict=True)}
    (folder / LICENCE).write_text(licence(pack, told), "utf-8")
    (folder / COVER).write_text(cover(folder, pack, told, samples), "utf-8")
    (folder / MANIFEST).write_text(json.dumps(asdict(pack), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return pack


def _copy(clip: Clip, folder: Path, names: Mapping[str, str]) -> Packed:
    """A clip's audio as it is, its sidecar without where things lie on this machine, and its MIDI."""
    source, target = Path(clip.path), folder / names[clip.path]
    shutil.copyfile(source, target)
    sidecar = {name: value for name, value in read_sidecar(source).items() if name not in WAYS_BACK}
    sidecar["clip"] = {**sidecar["clip"], "name": target.name, "trashed": False}
    own = {str(Path(path).resolve()): name for path, name in names.items()}
    target.with_name(target.name + SIDECAR_ENDING).write_bytes(sidecar_text(_without_places(sidecar, own)))
    midi = ""
    for ending in COMPANIONS:
        if source.with_suffix(ending).is_file():
            shutil.copyfile(source.with_suffix(ending), target.with_suffix(ending))
            midi = target.with_suffix(ending).relative_to(folder).as_posix()
    digest = file_hash(target).removeprefix("sha256:")
    return Packed(names[clip.path], source.name, said(clip, "part"), digest, midi)


def _without_places(value: Any, own: Mapping[str, str], name: str = "") -> Any:
    """A sidecar's value with names for absolute paths: those in this pack where `own` has them, else bare."""
    if isinstance(value, Mapping):
        return {key: _without_places(inner, own, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(inner, own, "path" if name == "adapters" else name) for inner in value]
    if isinstance(value, str) and name in PATHS:
        if Path(value).is_absolute() and (there := own.get(str(Path(value).resolve()))):
            return there
        return PureWindowsPath(value).name if PureWindowsPath(value).root else value
    return value


def _mixed(folder: Path, stems: Sequence[Clip], notes: list[str]) -> tuple[str, float]:
    """The sum of the stems as a file, and the gain that keeps its peaks below the ceiling; "" for none."""
    if len(stems) < 2:
        return "", 0.0
    first = stems[0]
    if any((one.samples, one.sample_rate_hz) != (first.samples, first.sample_rate_hz) for one in stems):
        notes.append("no mix: the clips are not of one length")
        return "", 0.0
    total = np.sum([read_audio(one.path) for one in stems], axis=0)
    peak_db = true_peak_db(total)
    gain_db = min(0.0, CEILING_DB - peak_db) if peak_db is not None else 0.0
    name = f"{clip_name(first, MIX)}.wav"
    numerator, _, denominator = (first.signature or "4/4").partition("/")
    data = MusicalData(
        bpm=first.bpm,
        numerator=int(numerator),
        denominator=int(denominator),
        quarters=round(first.bars * int(numerator) * 4 / int(denominator)),
        loop=bool(first.bpm),
        key=first.key,
        root=Key.parse(first.key).tonic if first.key else None,
        title=first.prompt[:200],
        software=f"{SOFTWARE}{__version__}",
    )
    mix = np.asarray(total * 10 ** (gain_db / 20), np.float32)
    (folder / name).write_bytes(encode(mix, first.sample_rate_hz, "wav", "pcm24", data))
    return name, gain_db


def _kit(folder: Path, stems: Sequence[Clip], notes: list[str]) -> list[Sample]:
    try:
        samples = find_samples([Path(clip.path) for clip in stems])
    except InvalidRequest as error:
        notes.append(f"no kit: {error}")
        return []
    (folder / KIT).mkdir()
    write_samples(samples, folder / KIT)
    return samples


def _zip(folder: Path, target: Path, top: str) -> None:
    """All files of a folder, below one folder of the name `top`, in the order of their names."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with zipfile.ZipFile(target, "x") as archive:
        for file in files:
            kind = (
                zipfile.ZIP_DEFLATED
                if file.suffix in (".json", ".html", ".txt", ".sfz")
                else zipfile.ZIP_STORED
            )
            archive.write(file, f"{top}/{file.relative_to(folder).as_posix()}", kind)
