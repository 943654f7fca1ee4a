# ruff: noqa: E501 (tables read better in one line a row)
"""The sound bank: one recording per instrument and pitch, and drum kits, from free sources only.

Soundfonts are played once, note by note, by the `fluidsynth` program; single hits come from
sonic-pi-samples. Licences (checked in the packages' copyright files): FluidR3 is MIT; MuseScore General is
MIT with parts CC0 or public domain; all of sonic-pi-samples is CC0. Its `loop_*` files are never used here:
they are the codec's test on sounds of other origin.
"""

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acestep.errors import NotFound
from acestep.files import appearing
from acestep.music.grid import SAMPLE_RATE_HZ

FLUID = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
MUSESCORE = Path("/usr/share/sounds/sf3/MuseScore_General_Full.sf3")
SONIC_PI = Path("/usr/share/sonic-pi/samples")
PACKAGES = "fluidsynth fluid-soundfont-gm musescore-general-soundfont sonic-pi-samples"

NOTE_S = {"bass": 2.0, "chords": 3.0, "pad": 5.0, "lead": 2.5, "arp": 1.5}
PITCHES = {"bass": (26, 56), "chords": (46, 80), "pad": (46, 80), "lead": (58, 92), "arp": (52, 92)}
HIT_S = 1.6

GM_HITS = {
    "kick": 36, "kick2": 35, "snare": 38, "snare2": 40, "clap": 39, "rim": 37, "closed": 42, "pedal": 44,
    "open": 46, "ride": 51, "crash": 49, "tom_low": 45, "tom_mid": 47, "tom_high": 50, "tambourine": 54,
    "cowbell": 56, "shaker": 70, "conga_high": 63, "conga_low": 64, "bongo_high": 60, "bongo_low": 61,
    "clave": 75, "agogo": 67, "guiro": 73, "triangle": 81, "timbale": 65,
}  # fmt: skip

# sonic-pi single hits by what they can stand for
SONIC_HITS = {
    "kick": ["bd_808", "bd_ada", "bd_boom", "bd_fat", "bd_gas", "bd_haus", "bd_klub", "bd_pure", "bd_sone",
             "bd_tek", "bd_zome", "bd_zum", "drum_bass_hard", "drum_heavy_kick", "elec_hollow_kick", "bd_mehackit"],
    "snare": ["sn_dolf", "sn_dub", "sn_generic", "sn_zome", "drum_snare_hard", "drum_snare_soft", "elec_snare",
              "elec_hi_snare", "elec_lo_snare", "elec_mid_snare", "elec_filt_snare"],
    "clap": ["perc_snap", "perc_snap2", "elec_snare", "elec_hi_snare"],
    "rim": ["elec_wood", "elec_tick", "perc_snap", "elec_pop"],
    "closed": ["drum_cymbal_closed", "drum_cymbal_pedal", "elec_tick", "elec_cymbal"],
    "open": ["drum_cymbal_open", "elec_cymbal", "drum_cymbal_soft"],
    "ride": ["drum_cymbal_soft", "elec_cymbal"],
    "crash": ["drum_cymbal_hard", "drum_splash_hard"],
    "tom_low": ["drum_tom_lo_hard", "elec_fuzz_tom"],
    "tom_mid": ["drum_tom_mid_hard", "tabla_ghe3"],
    "tom_high": ["drum_tom_hi_hard", "tabla_tun1"],
    "cowbell": ["drum_cowbell", "elec_bong"],
    "shaker": ["elec_tick", "drum_cymbal_pedal"],
    "tambourine": ["elec_triangle", "elec_flip"],
    "conga_high": ["tabla_na", "tabla_te1", "elec_twip", "tabla_tas1"],
    "conga_low": ["tabla_ghe1", "tabla_dhec", "elec_bong", "tabla_ghe4"],
    "bongo_high": ["tabla_tun2", "elec_blip", "tabla_te2"],
    "bongo_low": ["tabla_ke1", "elec_pop", "tabla_re"],
    "clave": ["elec_wood", "elec_ping", "perc_bell2"],
    "agogo": ["elec_bell", "perc_bell", "elec_chime"],
}  # fmt: skip


@dataclass(frozen=True)
class Instrument:
    """A soundfont's program in a role; `words` are what people call it. `held` keeps it for evaluation;
    the embedded weights have not heard what is `new`.
    """

    name: str
    role: str
    program: int
    words: tuple[str, ...]
    font: str = "fluid"
    held: bool = False
    new: bool = False


def _rows(role: str, table: str, font: str = "fluid") -> list[Instrument]:
    rows = []
    for line in table.strip().splitlines():
        program, mark, words = line.strip().split(" ", 2)
        names = tuple(word.strip() for word in words.split(","))
        label = f"{role}-{font}-{int(program):03d}"
        rows.append(Instrument(label, role, int(program), names, font, mark == "h", mark == "n"))
    return rows


INSTRUMENTS: tuple[Instrument, ...] = (
    *_rows("bass", """
        32 - upright bass,double bass,acoustic bass
        33 - electric bass,fingered bass,bass guitar
        34 - picked bass,bass guitar
        35 h fretless bass
        36 - slap bass,funk bass
        38 - synth bass,analog bass
        39 - synth bass,electronic bass"""),
    *_rows("bass", """
        33 - electric bass,bass guitar
        38 - synth bass,analog bass
        43 h bowed bass,contrabass""", "musescore"),
    *_rows("chords", """
        0 - piano,grand piano,acoustic piano
        1 - bright piano,piano
        4 - electric piano,rhodes,e-piano
        5 - electric piano,fm piano,dx piano
        7 - clavinet,clav
        16 - organ,drawbar organ,hammond
        17 h percussive organ
        24 - nylon guitar,acoustic guitar,classical guitar
        25 - steel guitar,acoustic guitar
        26 - jazz guitar,electric guitar
        27 - clean guitar,electric guitar
        28 - muted guitar,palm muted guitar
        29 - overdriven guitar,crunchy guitar
        30 - distorted guitar,distortion guitar,heavy guitar
        61 - brass section,horns,brass stabs
        18 n rock organ,organ"""),
    *_rows("chords", """
        0 - piano,grand piano
        4 - electric piano,rhodes,e-piano
        19 h church organ,pipe organ
        24 n nylon guitar,acoustic guitar,classical guitar
        25 n steel guitar,acoustic guitar
        27 n clean guitar,electric guitar
        61 n brass section,horns
        21 - accordion""", "musescore"),
    *_rows("pad", """
        48 - strings,string section,orchestral strings
        50 - synth strings,string machine
        52 - choir,voices,choir pad
        88 - new age pad,soft pad
        89 - warm pad,analog pad
        90 - polysynth pad
        91 h space choir pad
        94 - halo pad,airy pad
        95 - sweep pad,evolving pad"""),
    *_rows("pad", """
        49 - slow strings,strings
        54 h synth voice pad
        89 - warm pad,analog pad""", "musescore"),
    *_rows("lead", """
        80 - square lead,chip lead,synth lead
        81 - saw lead,synth lead
        11 - vibraphone,vibes
        12 - marimba
        73 - flute
        65 - saxophone,alto sax,sax
        56 - trumpet
        22 h harmonica
        40 - violin
        26 - guitar,electric guitar lead
        104 h sitar
        42 n cello
        57 n trombone
        60 n french horn,horn
        66 n tenor sax,saxophone,sax
        68 n oboe
        24 n nylon guitar,acoustic guitar
        25 n steel guitar,acoustic guitar"""),
    *_rows("lead", """
        0 - piano
        71 - clarinet
        60 - french horn,horn
        81 - saw lead,synth lead""", "musescore"),
    *_rows("arp", """
        45 - pizzicato,plucked strings
        46 - harp
        10 - music box
        13 - xylophone
        108 - kalimba,thumb piano
        24 - nylon guitar,plucked guitar
        8 h celesta
        80 - chiptune square,square synth"""),
    *_rows("arp", """
        9 - glockenspiel,bells
        11 - vibraphone,vibes""", "musescore"),
)  # fmt: skip

# program on the drum channel, font, held out
KITS = (
    ("kit-fluid-standard", 0, "fluid", False), ("kit-fluid-room", 8, "fluid", False),
    ("kit-fluid-power", 16, "fluid", False), ("kit-fluid-electronic", 24, "fluid", False),
    ("kit-fluid-808", 25, "fluid", False), ("kit-fluid-brush", 40, "fluid", False),
    ("kit-fluid-jazz", 32, "fluid", True), ("kit-musescore-standard", 0, "musescore", False),
    ("kit-musescore-808", 25, "musescore", True),
)  # fmt: skip


class Bank:
    """The recordings, read from a folder that `build_bank` wrote. Arrays are int16 [notes, samples, 2]."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "done").exists():
            raise NotFound(f"no sound bank in {folder}: expected what `acestep nano data` builds first")
        self.folder = folder
        self._tones: dict[str, np.ndarray] = {}
        self._hits: dict[str, dict[str, np.ndarray]] = {}

    def tone(self, name: str, role: str, pitch: int) -> np.ndarray:
        """A recording of an instrument at a pitch, float32 [samples, 2]; pitches beyond its range fold by octaves."""
        if name not in self._tones:
            self._tones[name] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        low, high = PITCHES[role]
        while pitch < low:
            pitch += 12
        while pitch >= high:
            pitch -= 12
        tone: np.ndarray = self._tones[name][pitch - low].astype(np.float32) / 32768
        return tone

    def kit(self, name: str) -> dict[str, np.ndarray]:
        """Hits by name, each float32 [samples, 2]."""
        if name not in self._hits:
            with np.load(self.folder / f"{name}.npz") as stored:
                self._hits[name] = {hit: stored[hit].astype(np.float32) / 32768 for hit in stored.files}
        return self._hits[name]


def build_bank(folder: Path) -> None:
    """Record every instrument and kit once; skips what is there already."""
    for path in (FLUID, MUSESCORE, SONIC_PI):
        if not path.exists():
            raise NotFound(f"{path} is missing: install the packages {PACKAGES}")
    folder.mkdir(parents=True, exist_ok=True)
    for instrument in INSTRUMENTS:
        target = folder / f"{instrument.name}.npy"
        if not target.exists():
            _write_tones(instrument, target)
    for name, program, font, _held in KITS:
        target = folder / f"{name}.npz"
        if not target.exists():
            hits = _record(font, program, list(GM_HITS.values()), HIT_S, drums=True)
            tidy = {hit: _tidy_hit(audio) for hit, audio in zip(GM_HITS, hits, strict=True)}
            _write_hits({hit: audio for hit, audio in tidy.items() if audio is not None}, target)
    if not (folder / "sonic.npz").exists():
        _write_hits(_sonic_hits(), folder / "sonic.npz")
    (folder / "done").touch()


def _write_hits(hits: Mapping[str, np.ndarray], target: Path) -> None:
    with appearing(target) as hidden, hidden.open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: _int16(audio) for name, audio in hits.items()})


def _write_tones(instrument: Instrument, target: Path) -> None:
    low, high = PITCHES[instrument.role]
    notes = _record(instrument.font, instrument.program, list(range(low, high)), NOTE_S[instrument.role])
    starts = [_onset(note) for note in notes]
    notes = np.stack([np.roll(note, -start, axis=0) for note, start in zip(notes, starts, strict=True)])
    window = SAMPLE_RATE_HZ // 10
    loudest = (
        np.sqrt((notes[:, : 10 * window].reshape(len(notes), -1, window, 2) ** 2).mean((2, 3)).max(1))
        if notes.shape[1] >= 10 * window
        else np.sqrt((notes**2).mean((1, 2)))
    )
    notes = notes * (0.1 / max(float(np.median(loudest)), 1e-4))
    peak = np.abs(notes).max((1, 2), keepdims=True)
    with appearing(target) as hidden, hidden.open("wb") as file:
        np.save(file, _int16(notes * np.minimum(1, 0.99 / np.maximum(peak, 1e-6))))


def _record(font: str, program: int, pitches: list[int], note_s: float, drums: bool = False) -> np.ndarray:
    """Play notes one after the other with fluidsynth, dry → float32 [notes, samples, 2]."""
    import mido
    import soundfile

    step = round(note_s * SAMPLE_RATE_HZ / 64) * 64  # fluidsynth starts notes on blocks of 64 samples
    ticks = 24_000  # a quarter at 120 bpm: one tick is one sample
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=500_000, time=0)])
    channel = 9 if drums else 0
    track.append(mido.Message("program_change", channel=channel, program=program, time=0))
    hold = round(step * 0.9)
    for index, pitch in enumerate(pitches):
        wait = 9600 if index == 0 else step - hold
        track.append(mido.Message("note_on", channel=channel, note=pitch, velocity=100, time=wait))
        track.append(mido.Message("note_off", channel=channel, note=pitch, velocity=0, time=hold))
    track.append(mido.MetaMessage("end_of_track", time=step))
    with tempfile.TemporaryDirectory() as folder:
        song, wave = Path(folder) / "notes.mid", Path(folder) / "notes.wav"
        mido.MidiFile(ticks_per_beat=ticks, tracks=[track]).save(song)
        settings = ["-o", "synth.dynamic-sample-loading=1", "-o", "synth.reverb.active=0"]
        settings += [
            "-o",
            "synth.chorus.active=0",
            "-r",
            str(SAMPLE_RATE_HZ),
            "-g",
            "0.8",
            "-T",
            "wav",
            "-O",
            "float",
        ]
        source = FLUID if font == "fluid" else MUSESCORE
        command = ["fluidsynth", "-ni", "-q", *settings, "-F", str(wave), str(source), str(song)]
        subprocess.run(command, check=True, capture_output=True)
        audio, _ = soundfile.read(wave, dtype="float32", always_2d=True)
    audio = np.pad(audio, ((0, max(0, 9600 + step * len(pitches) - len(audio))), (0, 0)))
    return audio[9600 : 9600 + step * len(pitches)].reshape(len(pitches), step, 2)


def _onset(note: np.ndarray) -> int:
    """First sample that is heard, at most 60 ms in: the grid must be exact to a millisecond."""
    level = np.abs(note).max(1)
    loud = np.flatnonzero(level > 0.01 * max(float(level.max()), 1e-5))
    return int(min(loud[0], SAMPLE_RATE_HZ * 60 // 1000)) if len(loud) else 0


def _tidy_hit(audio: np.ndarray) -> np.ndarray | None:
    peak = float(np.abs(audio).max())
    if peak < 1e-3:
        return None
    audio = audio[_onset(audio) :] * (0.7 / peak)
    heard = np.flatnonzero(np.abs(audio).max(1) > 1e-3)
    audio = audio[: int(heard[-1]) + 1].copy()
    fade = min(len(audio), 480)
    audio[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None]
    return audio


def _sonic_hits() -> dict[str, np.ndarray]:
    import soundfile
    import soxr

    found = {}
    for name in sorted({name for names in SONIC_HITS.values() for name in names}):
        audio, rate = soundfile.read(SONIC_PI / f"{name}.flac", dtype="float32", always_2d=True)
        audio = soxr.resample(audio, rate, SAMPLE_RATE_HZ)[: int(HIT_S * SAMPLE_RATE_HZ)]
        audio = np.repeat(audio, 2, 1) if audio.shape[1] == 1 else audio[:, :2]
        tidy = _tidy_hit(audio)
        if tidy is not None:
            found[name] = tidy
    return found


def _int16(audio: np.ndarray) -> np.ndarray:
    return np.clip(np.round(audio * 32767), -32768, 32767).astype(np.int16)
