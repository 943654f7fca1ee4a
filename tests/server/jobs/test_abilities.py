"""What a cascade cannot do is refused before anything is loaded or queued, with and without a daemon."""

from pathlib import Path

import grpc
import numpy as np
import pytest
import soundfile

from protos.acestep.v1 import acestep_pb2 as pb
from server.cli import acestep as cli
from server.models import spec_of
from tests.support.daemons import WAIT_S, StandIn, reason, running, settings, stub


class Describing(StandIn):
    """Cascades that cannot be loaded are known by what their folders say."""

    def spec(self, name: str) -> object:
        return spec_of(name, None)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds of a tone, in the samples folder."""
    path = tmp_path / "samples" / "clip.wav"
    path.parent.mkdir()
    soundfile.write(path, 0.3 * np.sin(np.arange(96_000) / 20), 48_000)
    return path


@pytest.mark.parametrize(
    ("asked", "why", "says"),
    [
        ({"task": "extract", "track": "drums"}, "unsupported", "nano cannot do task extract"),
        ({"stages": ["q"]}, "invalid_request", "no stage q in this cascade: it has l, m, s"),
        ({"lyrics": "la la"}, "unsupported", "nano cannot sing"),
    ],
)
def test_a_daemon_refuses_it_at_once(
    tmp_path: Path, clip: Path, asked: dict[str, object], why: str, says: str
) -> None:
    given = dict(asked)
    if "task" in given:
        given["context"] = pb.AudioRange(path=str(clip))
    with running(settings(tmp_path), Describing()) as daemon, stub(daemon.grpc.port) as client:
        with pytest.raises(grpc.RpcError) as refused:
            next(client.Generate(pb.GenerateRequest(prompt="p", **given), timeout=WAIT_S))
        assert reason(refused.value) == why
        assert says in refused.value.details()
        assert daemon.queue.jobs() == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--task", "extract", "--track", "drums", "--context", "CLIP"), "nano cannot do task extract"),
        (("--stages", "q"), "no stage q in this cascade: it has l, m, s"),
        (("--lyrics", "la la"), "nano cannot sing"),
        (("--cascade", "nope"), "no cascade 'nope'"),
        (("--adapter", "nope"), "no adapter 'nope'"),
    ],
)
def test_without_a_daemon_it_is_refused_before_a_model_is_loaded(
    home_of_its_own: Path,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    says: str,
) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("server.models.load_cascade", loaded)
    given = [str(clip) if word == "CLIP" else word for word in words]
    assert cli.main(["generate", "p", "--local", *given]) == 2
    assert says in capsys.readouterr().err


def test_what_a_context_decides_is_not_asked_for(tmp_path: Path, clip: Path) -> None:
    with running(settings(tmp_path), Describing()) as daemon, stub(daemon.grpc.port) as client:
        asked = pb.GenerateRequest(prompt="bass", task="complete", context=pb.AudioRange(path=str(clip)))
        assert next(client.Generate(asked, timeout=WAIT_S)).job
