"""`acestep words`: what it lists is what the recipe composed and captioned, and nothing that was held out."""

import json

import pytest

from acestep.nano.data.captions import ROLE_WORDS
from acestep.nano.data.sounds import INSTRUMENTS
from acestep.nano.data.styles import STYLES
from server.cli.acestep import main


def told(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert main(["words", *flags]) == 0
    return capsys.readouterr().out


def test_every_style_part_and_instrument_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(told(capsys).split())
    heard = [instrument for instrument in INSTRUMENTS if not instrument.held and not instrument.new]
    for word in (*(style.name for style in STYLES), *ROLE_WORDS, *(one.words[0] for one in heard)):
        assert word in text


def test_what_the_weights_have_not_heard_is_not_promised(capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.loads(told(capsys, "--json"))
    words = {word for rows in listed.values() for row in rows.values() for word in row}
    unheard = [instrument for instrument in INSTRUMENTS if instrument.held or instrument.new]
    held = {word for instrument in unheard for word in instrument.words}
    heard = {word for instrument in INSTRUMENTS if instrument not in unheard for word in instrument.words}
    assert held - heard
    assert not words & (held - heard)


def test_other_names_are_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert "rhodes" not in told(capsys)
    everything = told(capsys, "--all")
    assert "rhodes" in everything
    assert "dusty breakbeat" in everything
    assert "melancholic" in everything
    assert max(map(len, everything.splitlines())) <= 100
