"""Reading a pack back: its clips, sidecars and MIDI, into a folder of clips. Packs may come from anybody.

Only what `pack.json` names is read, and nothing is written by a name that the pack chooses.
"""

import hashlib
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from acestep import typed_json
from acestep.clips.clip import Clip, Staging, slug
from acestep.errors import InvalidRequest, NotFound
from acestep.files import hidden_in
from acestep.packs.manifest import MANIFEST, PACK_FORMAT, Pack, Packed
from acestep.request import FORMATS
from acestep.sound.audio import probe
from acestep.sources.sidecar import MAX_SIDECAR_BYTES, SIDECAR_ENDING, SIDECAR_FORMAT

MAX_CLIP_BYTES = 1 << 30  # of one clip: 10 minutes of stereo floats are a quarter of it
MAX_PACK_BYTES = 8 << 30  # of all that is read
MAX_MIDI_BYTES = 4 << 20
MAX_MEMBERS = 10_000  # files in a ZIP file
ENDINGS = tuple(f".{one}" for one in FORMATS)


@dataclass(frozen=True)
class Imported:
    """The clips that are new, and the names of those that were there already."""

    clips: tuple[Clip, ...]
    there: tuple[str, ...]


class Source(Protocol):
    """Where the files of a pack are read from."""

    def read(self, name: str, most: int) -> bytes:
        """The file of that name within the pack. Raises InvalidRequest, also where it has more bytes."""


def import_pack(path: Path, folder: Path) -> Imported:
    """The clips of a pack (a ZIP file or a folder) as clips in `folder`, all of them or none.

    A clip that lies there already, byte for byte, is left out. Raises NotFound, InvalidRequest for what is no
    whole pack, and StorageError.
    """
    if not path.exists():
        raise NotFound(f"{path} is not there: expected a pack, a ZIP file or a folder")
    with _source(path) as source:
        pack = _manifest(source, path)
        wanted = [_checked(one, path) for one in pack.clips]
        there = {one.file: found for one in wanted if (found := _present(folder, one))}
        new = [one for one in wanted if one.file not in there]
        clips = _restored(source, new, there, folder, path) if new else ()
    return Imported(tuple(clips), tuple(there.values()))


def _restored(
    source: Source, new: list[Packed], there: dict[str, str], folder: Path, path: Path
) -> list[Clip]:
    folder.mkdir(parents=True, exist_ok=True)
    places = {file: str(folder / name) for file, name in there.items()}
    with Staging(folder) as staging:
        total = 0
        for one in new:
            body = source.read(one.file, min(MAX_CLIP_BYTES, MAX_PACK_BYTES - total))
            total += len(body)
            if hashlib.sha256(body).hexdigest() != one.sha256:
                raise InvalidRequest(f"{one.file} in {path} is not what was packed: copy the pack once more")
            content = source.read(one.file + SIDECAR_ENDING, MAX_SIDECAR_BYTES)
            sidecar = _sidecar(content, f"{path}: {one.file}{SIDECAR_ENDING}")
            sidecar["request"] = _with_places(sidecar.get("request"), places)
            ending = PurePosixPath(one.file).suffix.lower()
            _require_audio(body, ending, folder, f"{one.file} in {path}")
            midi = source.read(one.midi, MAX_MIDI_BYTES) if one.midi else b""
            staging.add(_stem(one), ending, body, sidecar, midi if midi.startswith(b"MThd") else None)
            places[one.file] = str(folder / sidecar["clip"]["name"])
        return staging.publish()


def _manifest(source: Source, path: Path) -> Pack:
    try:
        content = source.read(MANIFEST, typed_json.MAX_BYTES)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"{path} is no pack of ours: {error}; expected what `acestep pack` wrote"
        ) from None
    where = f"{MANIFEST} in {path}"
    version = typed_json.parse(content, typed_json.Fields, where).get("format")
    if version != PACK_FORMAT:
        raise InvalidRequest(
            f"{path} is a pack of format {version!r:.40}, and this release reads format {PACK_FORMAT}: "
            "update acestep-bridge, or copy the files of its stems by hand"
        )
    return typed_json.parse(content, Pack, where)


def _checked(one: Packed, path: Path) -> Packed:
    """Raises InvalidRequest for a name that leads out of the pack, or is not of a file that a pack has."""
    for name in (one.file, one.midi):
        parts = PurePosixPath(name).parts
        odd = "\\" in name or ":" in name or not name.isprintable() or name.startswith("/") or ".." in parts
        if odd:
            raise InvalidRequest(f"{path} names a file {name!r:.80}, which leads out of it: it is not ours")
    if not one.file.lower().endswith(ENDINGS) or (one.midi and not one.midi.lower().endswith(".mid")):
        raise InvalidRequest(
            f"{path} names {one.file!r:.80} as a clip: expected {', '.join(ENDINGS)}, and MIDI as .mid"
        )
    return one


def _stem(one: Packed) -> str:
    """What the clip's file is called here: as its maker had it, if that is a plain name."""
    stem = PurePosixPath(one.name.replace("\\", "/")).stem
    plain = stem.isascii() and all(letter.isalnum() or letter in " ._-#+()" for letter in stem)
    return stem if plain and stem.strip(" .") == stem and 0 < len(stem) <= 200 else slug(stem)


def _present(folder: Path, one: Packed) -> str:
    """The name of the clip in `folder` that holds the same bytes, "" for none."""
    stem, ending = _stem(one), PurePosixPath(one.file).suffix.lower()
    for file in (folder / f"{stem}{ending}", *sorted(folder.glob(f"{_literal(stem)}-*{ending}"))):
        sidecar = file.with_name(file.name + SIDECAR_ENDING)
        if file.is_file() and sidecar.is_file() and _digest(file) == one.sha256:
            return file.name
    return ""


def _literal(text: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sidecar(content: bytes, where: str) -> dict[str, Any]:
    """A sidecar that tells of a clip, with values of the right kinds."""
    sidecar: dict[str, Any] = typed_json.parse(content, typed_json.Fields, where, max_bytes=MAX_SIDECAR_BYTES)
    if sidecar.get("format") != SIDECAR_FORMAT:
        raise InvalidRequest(f"{where} is not a sidecar of format {SIDECAR_FORMAT}: made by a newer version?")
    Clip.from_sidecar(sidecar, where)
    sidecar["clip"] = {**sidecar["clip"], "trashed": False}
    return {name: value for name, value in sidecar.items() if name not in ("trashed_from", "renamed_from")}


def _with_places(value: Any, places: dict[str, str]) -> Any:
    """A request whose reference and context lie where the clips of the pack lie now."""
    if isinstance(value, dict):
        return {
            name: places.get(inner, inner)
            if name == "path" and isinstance(inner, str)
            else _with_places(inner, places)
            for name, inner in value.items()
        }
    return [_with_places(inner, places) for inner in value] if isinstance(value, list) else value


def _require_audio(body: bytes, ending: str, folder: Path, what: str) -> None:
    """Raises UnreadableAudio where the bytes are no audio."""
    hidden = hidden_in(folder).with_suffix(ending)
    try:
        hidden.write_bytes(body)
        probe(hidden)
    except InvalidRequest as error:
        raise type(error)(str(error).replace(str(hidden), what)) from None
    finally:
        hidden.unlink(missing_ok=True)


@contextmanager
def _source(path: Path) -> Iterator[Source]:
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            yield _Zip(archive, path)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(
            f"{path} is no whole ZIP file ({error}): copy or download it once more; expected what "
            "`acestep pack` wrote"
        ) from error


class _Folder:
    """A pack that was unpacked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def read(self, name: str, most: int) -> bytes:
        file = (self._folder / name).resolve()
        if not file.is_relative_to(self._folder) or not file.is_file():
            raise InvalidRequest(f"there is no {name} in it")
        if file.stat().st_size > most:
            raise InvalidRequest(f"{name} in it is larger than {most >> 20} MB")
        return file.read_bytes()


class _Zip:
    """A pack as a ZIP file, at its top or in one folder."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive = archive
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise InvalidRequest(f"{path} holds {len(members)} files: expected at most {MAX_MEMBERS}")
        self._members = {one.filename: one for one in members}
        tops = [
            name for name in self._members if PurePosixPath(name).name == MANIFEST and name.count("/") <= 1
        ]
        self._top = min(tops, key=len).removesuffix(MANIFEST) if tops else ""

    def read(self, name: str, most: int) -> bytes:
        member = self._members.get(self._top + name)
        mode = member.external_attr >> 16 if member else 0
        if member is None or member.is_dir() or (mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode)):
            raise InvalidRequest(f"there is no {name} in it")
        with self._archive.open(member) as stream:
            content = stream.read(most + 1)  # whatever size the archive says
        if len(content) > most:
            raise InvalidRequest(f"{name} in it is larger than {most >> 20} MB")
        return content
