"""The planner on a tiny random language model in the published layout: what is fixed, open, read as codes."""

from __future__ import annotations

import pytest
import torch

from acestep import Cascade, GenerateRequest, errors
from acestep.model.planner import KEYS, Planner, code_count
from acestep.sources.sidecar import read_sidecar
from server.cli import acestep as cli
from tests.support.closeness import assert_close, assert_differs
from tests.support.stock import stock_latents, turbo_options
from tests.support.tiny_checkpoints import save_pipeline, save_planner

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a turbo cascade and a planner; gives it and the stock pipeline."""
    home = tmp_path_factory.mktemp("home")
    pipeline = save_pipeline(home / "cascades" / "turbo", turbo=True, seed=3)
    save_planner(home / "planners" / "lm-tiny")
    return home, pipeline


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(home[0]))


@pytest.fixture
def cascade(home):
    return Cascade.load("turbo", planner="lm-tiny")


def request(**values):
    return GenerateRequest(**{"prompt": "strings", "bars": 1, "bpm": 200, "seed": 2, "lyrics": "la"} | values)


def heard_by(planner):
    """What the planner's model was given to read, as text."""
    texts = []
    planner.model.register_forward_pre_hook(
        lambda _m, _a, given: texts.append(planner.tokenizer.decode(given["input_ids"][0])), with_kwargs=True
    )
    return texts


def asking(lyrics="", **settings):
    return GenerateRequest(prompt="strings", lyrics=lyrics, **settings)


def test_what_was_given_is_put_into_its_mouth_and_what_is_open_is_chosen(home):
    planner = Planner.load("lm-tiny", CPU)
    texts = heard_by(planner)
    made = planner.plan(asking("la", bpm=92.4, signature="3/4"), 12.0, codes=1000, seed=1)
    assert str(made.key) in KEYS
    assert made.caption
    last = next(text for text in reversed(texts) if "</think>" in text)
    lines = last.split("<think>\n")[1].split("</think>")[0].splitlines()
    assert lines[0] == "bpm: 92"
    assert lines[1] == f"caption: {made.caption}"
    assert lines[2:] == ["duration: 12", f"keyscale: {made.key}", "language: en", "timesignature: 3"]
    assert "# Caption\nstrings\n\n# Lyric\nla\n" in last
    given = planner.plan(asking(bpm=92.4, signature="7/8", key="F# minor"), 12.0)
    assert str(given.key) == "F# minor"
    assert given.codes == ()


def test_codes_are_as_many_as_the_clip_needs_and_follow_the_seed():
    planner = Planner.load("lm-tiny", CPU)

    def codes(seed):
        return planner.plan(asking(bars=1), 3.3, codes=500, seed=seed).codes

    assert len(codes(1)) == code_count(3.3) == 17
    assert max(codes(1)) < 500
    assert codes(1) == codes(1) != codes(2)


def test_codes_are_read_as_the_stock_pipeline_reads_them(home, cascade, monkeypatch):
    monkeypatch.setattr("acestep.model.planner.MAX_CAPTION_TOKENS", 20)  # a token a byte: no room for more
    spoken = []
    plan = cascade.planner.plan
    cascade.planner.plan = lambda *a, **k: spoken.append(plan(*a, **k)) or spoken[-1]
    wanted = request(bars=8, key="A minor", bpm=240)  # nine seconds: a whole number of codes
    ours = cascade.latents(wanted)
    (blueprint,) = spoken
    text = "".join(f"<|audio_code_{code}|>" for code in blueprint.codes)
    as_planned = GenerateRequest.from_dict(wanted.to_dict() | {"prompt": blueprint.caption})
    theirs = stock_latents(home[1], cascade, as_planned, audio_codes=text, **turbo_options())
    assert_close(ours, theirs)


def test_without_a_planner_nothing_is_planned(home, cascade):
    plain = Cascade.load("turbo")
    assert plain.planner is None
    assert_differs(plain.latents(request()), cascade.latents(request()))


def test_a_planned_clip_tells_its_plan(tmp_path, capsys):
    words = ("strings", "--bpm", "200", "--bars", "1", "--seed", "2", "--out", str(tmp_path), "--local")
    assert cli.main(["generate", *words, "--cascade", "turbo", "--planner", "lm-tiny", "--quiet"]) == 0
    sidecar = read_sidecar(f"{capsys.readouterr().out.strip()}.json")
    assert any(note.startswith("planned by lm-tiny: ") for note in sidecar["notes"])
    assert sidecar["request"]["prompt"] == "strings"
    assert sidecar["request"]["key"] is None


def test_planning_reports_progress_and_can_be_cancelled(cascade):
    seen = []
    cascade.generate(request(), on_progress=seen.append)
    assert "plan" in {progress.stage for progress in seen}
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    count = 0

    def after_three_tokens():
        nonlocal count
        count += 1
        return count > 3

    with pytest.raises(errors.Cancelled):
        cascade.generate(request(), cancelled=after_three_tokens)


def test_a_planner_that_is_none_is_refused(tmp_path):
    with pytest.raises(errors.NotFound, match="acestep pull lm"):
        Planner.load("nonesuch", CPU)
    save_planner(tmp_path / "wordless", codes=0)
    with pytest.raises(errors.CheckpointError, match="no audio codes"):
        Planner.load(tmp_path / "wordless", CPU)
