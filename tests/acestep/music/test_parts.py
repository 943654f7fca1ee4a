"""Parts of an idea, read from what people write."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.errors import InvalidRequest
from acestep.music.parts import MAX_PARTS, Part, parts_text, read_parts

NAMES = st.from_regex(r"[a-z]{1,8}(_[a-z]{1,4})?", fullmatch=True).filter(lambda name: name != "mix")
WORDS = st.from_regex(r"([a-z]{1,6}( [a-z]{1,6}){0,2}(, [a-z]{1,6})?)?", fullmatch=True)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("drums, bass, chords", [("drums", ""), ("bass", ""), ("chords", "")]),
        (" Drums ,bass,", [("drums", ""), ("bass", "")]),
        ("drums: dusty; bass: warm sub, sparse", [("drums", "dusty"), ("bass", "warm sub, sparse")]),
        ("drums; bass: warm", [("drums", ""), ("bass", "warm")]),
        ("drums: dusty, bass: warm, round", [("drums", "dusty"), ("bass", "warm, round")]),
        ("drums, bass: warm; chords", [("drums", ""), ("bass", "warm"), ("chords", "")]),
        ("drums, bass: warm", [("drums", ""), ("bass", "warm")]),
        ("Backing Vocals\nlead", [("backing_vocals", ""), ("lead", "")]),
        (["drums", "bass: sub"], [("drums", ""), ("bass", "sub")]),
        ({"drums": "dusty", "bass": ""}, [("drums", "dusty"), ("bass", "")]),
        ("", []),
    ],
)  # fmt: skip
def test_parts_are_read_as_they_are_meant(written, meant):
    assert read_parts("parts", written) == tuple(Part(*one) for one in meant)


@settings(deadline=None)
@given(st.dictionaries(NAMES, WORDS, max_size=MAX_PARTS))
def test_what_is_written_is_read_again(parts):
    wanted = tuple(Part(name, " ".join(words.split())) for name, words in parts.items())
    assert read_parts("parts", parts_text(wanted)) == wanted
    assert parts_text(read_parts("parts", parts_text(wanted))) == parts_text(wanted)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_parts_or_is_refused_in_words(text):
    said = ""
    try:
        read_parts("parts", text)
    except InvalidRequest as error:
        said = str(error)
    assert not said or said.startswith("parts")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("drums, bass, drums", "names drums twice"),
        (", ".join(f"p{k}" for k in range(20)), "has 20 parts: expected at most 12"),
        ("drums, mix", "names mix"),
        ("drums, ../bass", "no name"),
        (": words", "no name"),
        (7, "are not parts"),
        (["drums", 7], "are not parts"),
        ("bass: " + "x" * 600, "at most 500 characters"),
    ],
)
def test_what_is_wrong_is_said(written, said):
    with pytest.raises(InvalidRequest, match=said):
        read_parts("parts", written)
