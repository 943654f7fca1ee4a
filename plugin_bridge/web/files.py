"""Where a clip's file can be read on this machine: on the shared disk, or fetched from a daemon elsewhere.

And the same sound as WAV, which every browser plays.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import soundfile

from acestep.files import appearing
from plugin_bridge import words
from plugin_bridge.errors import NotFound, UnreadableAudio
from plugin_bridge.web.live import Feed

BLOCK_FRAMES = 1 << 16


class ClipFiles:
    """Clips as files. Fetched ones are kept in `cache` as long as the page's server runs."""

    def __init__(self, feed: Feed, cache: Path) -> None:
        self._feed, self._cache = feed, cache
        self._making: dict[Path, asyncio.Lock] = {}

    async def path(self, clip: words.Clip) -> Path:
        """The clip's file here. Raises NotFound where it is gone."""
        return await self._here(clip, clip.path)

    async def midi(self, clip: words.Clip) -> Path:
        """The clip's notes as a file here. Raises NotFound where it has none, or they are gone."""
        if not clip.midi:
            raise NotFound(f"{clip.name} has no MIDI file: make clips with MIDI on to have one")
        return await self._here(clip, clip.midi, "midi")

    async def _here(self, clip: words.Clip, named: str, kind: str = "") -> Path:
        bridge = self._feed.bridge
        path = Path(named)
        # Behind a link may be anything: then the daemon decides, and the page has the file from it.
        if bridge.target.is_local and path.resolve() == path:
            if not path.is_file():
                raise NotFound(f"{path} is no longer there: it was moved or deleted outside of the page")
            return path
        folder = self._folder(clip, kind)
        async with self._lock(folder):
            fetched = next(folder.glob("[!.]*"), None) if folder.is_dir() else None
            return fetched or await bridge.download(path.name, folder)

    async def as_wav(self, clip: words.Clip) -> Path:
        """The clip as a WAV file: its own where it is one, else the same samples written anew."""
        path = await self.path(clip)
        if path.suffix.lower() == ".wav":
            return path
        folder = self._folder(clip, "wav")
        wav = folder / f"{path.stem}.wav"
        async with self._lock(folder):
            if not wav.is_file():
                folder.mkdir(parents=True, exist_ok=True)
                await asyncio.to_thread(write_wav, path, wav)
        return wav

    def _folder(self, clip: words.Clip, kind: str = "") -> Path:
        # a name can be free again after a clip was deleted: which clip it is, is known by its making
        made = "\0".join((clip.path, clip.job, clip.created, str(clip.seed), kind))
        return self._cache / hashlib.sha256(made.encode()).hexdigest()[:16]

    def _lock(self, folder: Path) -> asyncio.Lock:
        return self._making.setdefault(folder, asyncio.Lock())

    async def for_request(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with clips of a daemon elsewhere replaced by files here, which are then sent to it."""
        if self._feed.bridge.target.is_local:
            return options
        changed = dict(options)
        for name in ("reference", "context"):
            if value := options.get(name):
                several = value if isinstance(value, list) else [value]
                found = [await self._sent(*one) for one in several]
                changed[name] = found if isinstance(value, list) else found[0]
        return changed

    async def _sent(self, path: str, *span: float | None) -> tuple[Any, ...]:
        return (await self.path(self._feed.seen[path]) if path in self._feed.seen else path, *span)


def write_wav(path: Path, wav: Path) -> None:
    """The samples of `path`, at its own resolution where WAV has it; else as float32."""
    try:
        with soundfile.SoundFile(path) as read, appearing(wav) as hidden:
            kept = read.subtype if soundfile.check_format("WAV", read.subtype) else "FLOAT"
            kept = "FLOAT" if kept.startswith("MPEG") else kept
            with soundfile.SoundFile(
                hidden, "w", read.samplerate, read.channels, subtype=kept, format="WAV"
            ) as written:
                for block in read.blocks(BLOCK_FRAMES, dtype="float64" if kept == "PCM_32" else "float32"):
                    written.write(block)
    except (soundfile.LibsndfileError, OSError) as error:
        raise UnreadableAudio(f"{path.name} cannot be decoded ({error}): download it as it is") from error
