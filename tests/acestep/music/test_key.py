"""Keys: every spelling that files and people use; the tonic is written as it was read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep.errors import InvalidRequest
from acestep.music.key import Key

keys = st.builds(Key, st.integers(0, 11), st.sampled_from(["major", "minor"]))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("F# minor", "F# minor"),
        ("f#m", "F# minor"),
        ("Gb", "Gb major"),
        ("Gb maj", "Gb major"),
        ("A", "A major"),
        ("am", "A minor"),
        ("AM", "A major"),
        ("B♭ minor", "Bb minor"),
        ("c-sharp minor".replace("-", " "), "C# minor"),
        ("E-flat major".replace("-", ""), "Eb major"),
        ("Cb", "Cb major"),
        ("  d   min ", "D minor"),
        ("F-sharp-minor", "F# minor"),
        ("C_sharp_minor", "C# minor"),
        ("8A", "A minor"),
        ("08b", "C major"),
        ("1A", "G# minor"),
        ("1m", "A minor"),
        ("2d", "G major"),
        ("12m", "D minor"),
    ],
)
def test_common_spellings_are_read(text, written):
    assert str(Key.parse(text)) == written


@pytest.mark.parametrize(
    "text", ["H minor", "", "A dorian", "F##", "minor", "13A", "0d", None, 5, "A" * 10_000]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(InvalidRequest, match="key"):
        Key.parse(text)


@given(keys)
def test_a_key_reads_what_it_writes(key):
    assert Key.parse(str(key)) == key == Key.parse(key.short)


def test_a_flat_and_its_sharp_are_one_key():
    flat, sharp = Key.parse("Eb minor"), Key.parse("D# minor")
    assert flat == sharp
    assert hash(flat) == hash(sharp)
    assert (str(flat), flat.short, str(flat.sharp)) == ("Eb minor", "Ebm", "D# minor")


@given(keys)
def test_a_relative_key_has_the_same_notes(key):
    assert sorted(key.relative.pitch_classes) == sorted(key.pitch_classes)
    assert key.relative.mode != key.mode
    assert key.relative.relative == key


@given(keys)
def test_a_scale_has_seven_notes_and_begins_with_its_tonic(key):
    assert key.pitch_classes[0] == key.tonic
    assert len(set(key.pitch_classes)) == 7


def test_relative_keys_share_their_notes():
    assert set(Key.parse("C").pitch_classes) == set(Key.parse("Am").pitch_classes)


def test_a_key_that_nobody_spelled_has_its_usual_name():
    names = ("A# major", "D# minor", "G# major", "G# minor", "F# minor", "D# major", "F minor")
    usual = ["Bb major", "Eb minor", "Ab major", "G# minor", "F# minor", "Eb major", "F minor"]
    assert [str(Key.parse(name).usual) for name in names] == usual
