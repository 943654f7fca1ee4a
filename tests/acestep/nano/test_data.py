"""The composer and the renderer: labels that are true, lengths that are exact, captions that name what
sounds.
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.errors import CheckpointError, NotFound
from acestep.nano import latents
from acestep.nano.data import captions, styles, synth
from acestep.nano.data.compose import MAX_LOOP_S, Loop, compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import INSTRUMENTS, KITS, SONIC_HITS, Bank
from tests.support.fidelity import brightness_db, flatness

SEEDS = st.integers(0, 2**31 - 1)


class SineBank:
    """Plays every instrument as a sine with a hard start: enough to check times, pitches and sums."""

    def tone(self, name: str, role: str, pitch: int) -> np.ndarray:
        time = np.arange(48_000) / 48_000
        wave = 0.3 * np.cos(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) * np.exp(-4 * time)
        return np.stack([wave, wave], 1).astype(np.float32)

    def kit(self, name: str) -> dict[str, np.ndarray]:
        kit = synth.synth_kit(1)
        if name == "sonic":
            return {file: kit[hit] for hit, files in SONIC_HITS.items() for file in files}
        return kit


def sounding(loop: Loop) -> set[int]:
    return {note.pitch % 12 for part in loop.parts for note in part.notes if not note.hit}


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, held=st.booleans())
def test_a_loop_keeps_its_limits(seed, held):
    loop = compose(seed, held)
    assert 0.5 < loop.grid.duration_s <= MAX_LOOP_S + 12
    assert 60 <= loop.grid.bpm <= 180
    assert loop.parts
    assert len({part.role for part in loop.parts}) == len(loop.parts)
    quarters = loop.grid.bars * loop.grid.signature.quarters_per_bar
    for part in loop.parts:
        assert part.notes
        assert all(0 <= note.start < quarters + 0.5 and 0 < note.velocity <= 1 for note in part.notes)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_seed_is_a_loop(seed):
    assert compose(seed) == compose(seed)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_the_key_is_what_is_played(seed):
    loop = compose(seed)
    notes = [note for part in loop.parts for note in part.notes if not note.hit]
    inside = [note.pitch % 12 in loop.key.pitch_classes for note in notes]
    assert not notes or np.mean(inside) > 0.75


def test_held_out_material_is_never_composed_for_training():
    held_sounds = {i.name for i in INSTRUMENTS if i.held} | {kit[0] for kit in KITS if kit[3]}
    for seed in range(300):
        loop = compose(seed)
        assert not held_sounds & {part.sound for part in loop.parts}
        assert (loop.style, loop.harmony_style) not in styles.HELD_MIXTURES
    assert all(held_sounds & {part.sound for part in compose(seed, held=True).parts} for seed in range(50))


def test_a_reference_has_the_same_sounds_and_other_notes():
    loop = compose(3)
    sibling = compose(4, sound_of=loop)
    assert [part.sound for part in sibling.parts] == [part.sound for part in loop.parts]
    assert [part.notes for part in sibling.parts] != [part.notes for part in loop.parts]


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 200))
def test_a_rendered_loop_has_exactly_the_grids_length(seed):
    loop = compose(seed)
    stems = render(loop, SineBank())
    assert set(stems) == {part.role for part in loop.parts}
    assert all(audio.shape == (loop.grid.samples(), 2) for audio in stems.values())
    whole = mix(stems)
    assert np.isfinite(whole).all()
    assert 0.01 < np.abs(whole).max() <= 1


def test_sample_zero_is_the_downbeat():
    for seed in range(40):
        loop = compose(seed)
        drums = [part for part in loop.parts if part.role == "drums" and part.sound == "synth"]
        if drums and any(note.hit == "kick" and note.start == 0 for note in drums[0].notes):
            audio = np.abs(render(loop, SineBank(), solo="drums")["drums"]).max(1)
            assert audio[:480].max() > 0.2 * audio.max()
            return
    raise AssertionError("no loop with a kick at its start in forty")


def test_what_rings_after_the_end_is_heard_at_the_start():
    from acestep.nano.data.render import _fold

    audio = np.arange(25, dtype=np.float32)[:, None].repeat(2, 1)
    assert _fold(audio, 10)[:, 0].tolist() == [0 + 10 + 20, 1 + 11 + 21, 36, 39, 42, 20, 22, 24, 26, 28]


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, draw=SEEDS)
def test_a_caption_is_words_and_metas_are_true(seed, draw):
    loop = compose(seed)
    random = np.random.default_rng(draw)
    role = loop.parts[0].role
    text = captions.caption(loop, (role,), random)
    assert text.strip()
    meta = captions.metas(loop, 7.9)
    assert f"bpm: {loop.grid.bpm:.0f}\n" in meta
    assert f"keyscale: {loop.key}\n" in meta
    assert "duration: 7 seconds" in meta


def test_no_caption_is_empty_whatever_is_left_out():
    loop = next(loop for loop in map(compose, range(100)) if len(loop.parts) == 2)
    roles = tuple(part.role for part in loop.parts)
    for draw in range(3000):  # one in a few hundred names neither style nor parts of a pair
        assert captions.caption(loop, roles, np.random.default_rng(draw)).strip()


def test_metas_agree_with_what_the_engine_writes():
    from acestep.model import conditions
    from acestep.nano.checkpoint import LYRICS

    for seed in range(30):
        loop = compose(seed)
        assert captions.metas(loop, loop.grid.duration_s) == conditions.metas(
            loop.grid, loop.key, loop.grid.duration_s
        )
    assert conditions.instruction("text") == captions.TEXT_INSTRUCTION
    assert conditions.instruction("lego", "drums") == captions.LEGO_INSTRUCTION.format("DRUMS")
    assert conditions.instruction("complete", "bass|keys") == captions.COMPLETE_INSTRUCTION.format(
        "BASS | KEYS"
    )
    assert conditions.instruction("repaint") == captions.REPAINT_INSTRUCTION
    assert conditions.lyric_text("") == LYRICS


@pytest.mark.parametrize("role", ["bass", "chords", "pad", "lead", "arp"])
def test_synthesised_tones_have_their_pitch(role):
    tone = synth.synth_tone(7, role, 57, 1.0)[:48_000].mean(1)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(len(tone))))
    share = sum(spectrum[220 * harmonic - 6 : 220 * harmonic + 7].sum() for harmonic in range(1, 12))
    assert share > 0.6 * spectrum.sum()


def test_a_missing_bank_is_said(tmp_path):
    with pytest.raises(NotFound, match="acestep nano data"):
        Bank(tmp_path)


def test_the_bar_is_played_harder_than_what_lies_between_the_beats():
    first, between = [], []
    for loop in map(compose, range(60)):
        quarters, beat = loop.grid.signature.quarters_per_bar, 4 / loop.grid.signature.denominator
        for part in loop.parts:
            if part.role in ("bass", "lead", "arp"):
                for note in part.notes:
                    place = note.start % quarters
                    if min(place, quarters - place) < 0.03:
                        first.append(note.velocity)
                    elif 0.2 < place % beat / beat < 0.8:
                        between.append(note.velocity)
    assert np.mean(first) > 1.15 * np.mean(between)


def drummed(count: int = 400) -> list[Loop]:
    return [loop for loop in map(compose, range(count)) if any(part.role == "drums" for part in loop.parts)]


def kicks(loop: Loop) -> np.ndarray:
    return np.array([note.start for note in loop.part("drums").notes if note.hit.startswith("kick")])


def test_most_basses_play_with_their_own_kick_and_not_with_another_loops():
    loops = [loop for loop in drummed() if len(kicks(loop)) and any(p.role == "bass" for p in loop.parts)]

    def together(loop: Loop, hits: np.ndarray) -> float:
        starts = [note.start for note in loop.part("bass").notes]
        return float(np.mean([np.abs(hits - start).min() < 0.06 for start in starts]))

    own = np.array([together(loop, kicks(loop)) for loop in loops])
    others = np.array(
        [together(loop, kicks(other)) for loop, other in zip(loops, loops[1:] + loops[:1], strict=True)]
    )
    assert np.median(own) > 0.9
    assert np.mean(own >= others) > 0.85
    assert np.mean(own) > np.mean(others) + 0.3


def test_fills_come_where_the_loop_says_and_words_tell_of_them():
    def bars_of(loop: Loop) -> list[frozenset]:
        quarters = loop.grid.signature.quarters_per_bar
        hits = [
            (int(note.start / quarters + 1e-3), note)
            for note in loop.part("drums").notes
            if note.velocity > 0.5
        ]
        return [
            frozenset(
                (note.hit.rstrip("2"), round((note.start % quarters) * 4))
                for bar, note in hits
                if bar == index
            )
            for index in range(int(loop.grid.bars))
        ]

    def alike(first: frozenset, second: frozenset) -> float:
        return len(first & second) / max(len(first | second), 1)

    filled, steady = [], []
    for loop in drummed():
        if loop.grid.bars >= 4 and loop.fills in (0, loop.grid.bars):
            *bars, last = bars_of(loop)
            (filled if loop.fills else steady).append(alike(last, bars[-1]))
    assert min(len(filled), len(steady)) > 20
    assert np.mean(filled) < 0.6 < 0.75 < np.mean(steady)
    loop = next(loop for loop in drummed() if loop.fills == 4)
    told = [captions.caption(loop, ("drums",), np.random.default_rng(draw), bars=4) for draw in range(100)]
    short = [captions.caption(loop, ("drums",), np.random.default_rng(draw), bars=2) for draw in range(100)]
    words = (*captions.FILL_WORDS[4], *captions.STEADY_WORDS)
    assert sum(any(word in text for word in words) for text in told) > 40
    assert not any("fill" in text for text in short)


def test_how_a_part_is_played_is_written_and_has_words():
    manners: dict[str, list] = {}
    for loop in map(compose, range(600)):
        for part in loop.parts:
            manners.setdefault(part.manner, []).append((loop, part))
    assert set(manners) == {"", *captions.MANNERS}
    for _, part in manners["legato"][:10]:
        ends = sorted((note.start, note.start + note.length) for note in part.notes)
        gaps = [
            later[0] - earlier[1]
            for earlier, later in itertools.pairwise(ends)
            if later[0] < earlier[0] + 1.9
        ]
        assert np.median(gaps) < 0.05
    for loop, part in manners["strummed"][:10]:
        texts = [captions.caption(loop, (part.role,), np.random.default_rng(draw)) for draw in range(60)]
        assert any("strumm" in text for text in texts)


def test_cymbals_are_as_dark_as_the_part_says():
    loop = next(loop for loop in drummed() if any(note.hit == "closed" for note in loop.part("drums").notes))
    drums = loop.part("drums")

    def high(**change: float) -> float:
        part = replace(drums, notes=tuple(n for n in drums.notes if n.hit == "closed"), drive=0.0, reverb=0.0)
        made = replace(loop, parts=(replace(part, **change),), crackle=0.0)
        return brightness_db(render(made, SineBank())["drums"].mean(1))

    assert high(cymbals_hz=4000.0) < high(cymbals_hz=0.0) - 3


def test_labels_that_lie_with_the_latents_outlive_the_composer(tmp_path, monkeypatch):
    class Codec:
        hop, latent_rate_hz = 1920, 25.0

        def encode(self, audio):
            return torch.zeros(1, audio.shape[-1] // 1920, 8)

    monkeypatch.setattr(latents, "LOOPS_PER_SHARD", 3)
    path = latents.latent_shard(tmp_path, 0, SineBank(), Codec())
    monkeypatch.setattr(latents, "compose", lambda seed, held=False: compose(seed + 1))
    examples = latents.read_shard(path)
    for seed, example in enumerate(examples):
        loop = compose(seed)
        assert example.loop == replace(loop, parts=tuple(replace(part, notes=()) for part in loop.parts))
        assert set(example.stems) == ({part.role for part in loop.parts} if len(loop.parts) > 1 else set())
        assert set(example.views[0].roles) == {part.role for part in loop.parts}
        assert all(view.rest is not None for view in example.views[1:])
    with np.load(path) as stored:
        np.savez(
            tmp_path / "train-0001.npz",
            **{name: stored[name] for name in stored.files if "label" not in name},
        )
    with pytest.raises(CheckpointError, match="has no labels"):
        latents.read_shard(tmp_path / "train-0001.npz")


def test_noise_is_flat_and_bright_and_a_tone_is_neither():
    noise = np.random.default_rng(0).standard_normal(96_000)
    tone = np.sin(2 * np.pi * 6000 * np.arange(96_000) / 48_000)
    assert flatness(noise) > 0.5
    assert flatness(tone) < 0.05
    assert brightness_db(noise) == pytest.approx(10 * np.log10(6 / 24), abs=0.3)
    assert brightness_db(tone) < -60
