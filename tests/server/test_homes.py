"""The home is a parameter: one process may have several, and nothing is told through the environment."""

import contextlib
import io
import os
import shutil
from pathlib import Path

import pytest

from acestep.checkpoints import checkpoint
from acestep.errors import AdapterError, CheckpointError, NotFound
from protos.acestep.v1 import acestep_pb2 as pb
from server.cli.acestep import main
from server.models import models_for
from tests.support.daemons import Osc, StandIn, running, settings, stub

NANO = checkpoint.EMBEDDED["nano"]


def link_nano(home: Path, name: str) -> None:
    """A cascade in a home, as a copy of nano's description with links to its weights."""
    folder = home / "cascades" / name
    folder.mkdir(parents=True)
    for item in NANO.iterdir():
        if item.name != "cascade.json":
            (folder / item.name).symlink_to(item)
    shutil.copy(NANO / "cascade.json", folder)


def add_adapter(home: Path, name: str) -> None:
    folder = home / "adapters" / name
    folder.mkdir(parents=True)
    (folder / "adapter.json").write_text('{"rank": 4}')


def test_two_daemons_in_one_process_have_a_home_each(tmp_path: Path) -> None:
    one, two = settings(tmp_path / "one"), settings(tmp_path / "two")
    for config, name in ((one, "first"), (two, "second")):
        link_nano(config.home, name)
        add_adapter(config.home, f"{name}-sound")
    before = dict(os.environ)
    with running(one, StandIn()) as first, running(two, StandIn()) as second:
        for daemon, own, other in ((first, "first", "second"), (second, "second", "first")):
            with stub(daemon.grpc.port) as client, Osc(daemon.osc.port) as osc:
                cascades = {item.name for item in client.ListCascades(pb.ListCascadesRequest()).cascades}
                assert (own in cascades, other in cascades) == (True, False)
                adapters = [item.name for item in client.ListAdapters(pb.ListAdaptersRequest()).adapters]
                assert adapters == [f"{own}-sound"]
                osc.send("cascade", own)
                osc.send("adapter", f"{own}-sound", 0.5)
                osc.send("generate", "p")
                assert osc.until("done", "error")[0] == "done"
                osc.send("generate", "p", "cascade", other)
                assert osc.until("error")[1][0] == "not_found"
    assert dict(os.environ) == before


def test_a_cascade_is_loaded_from_the_home_that_was_named(tmp_path: Path) -> None:
    link_nano(tmp_path / "one", "mine")
    add_adapter(tmp_path / "one", "bent")
    models = models_for(settings(tmp_path, home=tmp_path / "one", cascade="mine"))
    cascade = models.use()
    assert cascade.spec.folder == tmp_path / "one" / "cascades" / "mine"
    with pytest.raises(AdapterError, match="bent"):  # found, and refused for what it holds
        cascade.load_adapter("bent")
    with pytest.raises(NotFound, match=str(tmp_path / "one" / "adapters")):
        cascade.load_adapter("straight")
    with pytest.raises(NotFound, match=str(tmp_path / "two" / "cascades")):
        checkpoint.find("mine", tmp_path / "two")


def test_parts_of_other_cascades_are_those_of_the_same_home(tmp_path: Path) -> None:
    link_nano(tmp_path / "one", "whole")
    folder = tmp_path / "one" / "cascades" / "borrows"
    shutil.copytree(tmp_path / "one" / "cascades" / "whole", folder, symlinks=True)
    text = (folder / "cascade.json").read_text()
    (folder / "codec").unlink()
    (folder / "cascade.json").write_text(text.replace('"codec": "codec"', '"codec": "../whole/codec"'))
    if '"../whole/codec"' not in (folder / "cascade.json").read_text():
        (folder / "cascade.json").write_text(text.replace("{", '{"codec": "../whole/codec", ', 1))
    (tmp_path / "one" / "cascades" / "whole" / "codec").unlink()
    shutil.copytree(NANO / "codec", tmp_path / "one" / "cascades" / "whole" / "codec")
    spec = checkpoint.read_spec(folder, tmp_path / "one")
    assert spec.codec.resolve() == tmp_path / "one" / "cascades" / "whole" / "codec"
    with pytest.raises(CheckpointError, match="leads out of it"):
        checkpoint.read_spec(folder, tmp_path / "two")


def test_a_command_with_a_home_of_its_own_leaves_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link_nano(tmp_path / "theirs", "theirs")
    before = dict(os.environ)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["models", "--home", str(tmp_path / "theirs")]) == 0
    assert "theirs" in said.getvalue()
    assert dict(os.environ) == before


def test_no_code_writes_the_home_into_the_environment() -> None:
    root = Path(__file__).parents[2]
    wrote = [
        str(path.relative_to(root))
        for part in ("acestep", "server", "lora_studio", "plugin_bridge", "protos")
        for path in (root / part).rglob("*.py")
        if 'os.environ["ACESTEP_HOME"] =' in path.read_text("utf-8")
        or 'os.environ.setdefault("ACESTEP_HOME"' in path.read_text("utf-8")
    ]
    assert wrote == []
