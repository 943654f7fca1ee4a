"""What a node keeps: brought once, checked by hash, and never anywhere but in its own folder."""

import hashlib
import shutil
from pathlib import Path

import pytest

from acestep.checkpoints.checkpoint import EMBEDDED, read_spec
from acestep.checkpoints.fingerprint import checkpoint_files, file_hash
from acestep.errors import CheckpointError, StorageError
from server.cluster.depot import Depot
from server.cluster.store import Store, below
from server.cluster.work import PIECE_BYTES, Bundle, Sign


def bundle(kind: str, paths: dict[str, Path], name: str = "it") -> Bundle:
    return Bundle(kind, name, {inside: file_hash(path) for inside, path in paths.items()})  # type: ignore[arg-type]


def offered(depot: Depot, made: Bundle, paths: dict[str, Path]) -> Bundle:
    depot.offer({made.digest: {inside: str(path) for inside, path in paths.items()}})
    return made


def cascade_in(home: Path, name: str) -> dict[str, Path]:
    folder = home / "cascades" / name
    shutil.copytree(EMBEDDED["nano"], folder)
    return {below(name, file): path for file, path in checkpoint_files(read_spec(folder, home)).items()}


def test_audio_is_brought_once_with_what_is_said_of_it_and_keeps_its_name(tmp_path: Path) -> None:
    file = tmp_path / "vinyl side b.wav"
    file.write_bytes(bytes(range(256)) * (PIECE_BYTES // 256) + b"the end")
    depot, asked = Depot("test"), []

    def read(digest: str, inside: str, offset: int) -> tuple[bytes, str] | str:
        asked.append(offset)
        return depot.read(digest, inside, offset)

    store = Store(tmp_path / "node", read)
    beside = tmp_path / f"{file.name}.json"
    beside.write_text("{}")
    paths = {one.name: one for one in (file, beside)}
    sent = offered(depot, bundle("audio", paths, file.name), paths)
    found = store.audio(sent)
    assert found.with_name(beside.name).read_text() == "{}"
    assert found.name == file.name
    assert found.read_bytes() == file.read_bytes()
    assert found.is_relative_to(tmp_path / "node" / "cluster")
    pieces = len(asked)
    assert pieces == 5  # three of the file, two of what lies beside it
    assert store.audio(sent) == found
    assert len(asked) == pieces


def test_a_cascade_of_the_nodes_own_is_used_where_it_is(tmp_path: Path) -> None:
    paths = cascade_in(tmp_path / "daemon", "small")
    cascade_in(tmp_path / "node", "small")
    store = Store(tmp_path / "node", lambda *_: "nothing is to be asked for")
    folder, home = store.cascade(bundle("cascade", paths, "small"))
    assert (folder, home) == (tmp_path / "node" / "cascades" / "small", tmp_path / "node")


def test_a_cascade_that_is_another_under_the_same_name_is_brought(tmp_path: Path) -> None:
    paths = cascade_in(tmp_path / "daemon", "small")
    cascade_in(tmp_path / "node", "small")
    changed = tmp_path / "node" / "cascades" / "small" / "cascade.json"
    changed.write_text(changed.read_text("utf-8").replace('"license"', '"licence"'), "utf-8")
    depot = Depot("test")
    store = Store(tmp_path / "node", depot.read)
    folder, home = store.cascade(offered(depot, bundle("cascade", paths, "small"), paths))
    assert folder.is_relative_to(tmp_path / "node" / "cluster")
    found = checkpoint_files(read_spec(folder, home))
    assert {below("small", name): file_hash(path) for name, path in found.items()} == {
        name: file_hash(path) for name, path in paths.items()
    }


def test_parts_that_lie_elsewhere_are_not_brought_but_asked_for_by_name(tmp_path: Path) -> None:
    sent = Bundle(
        "cascade", "mixed", {"mixed/cascade.json": "sha256:0", "../../opt/l.safetensors": "sha256:0"}
    )
    with pytest.raises(CheckpointError, match=r"mixed is made of parts.*acestep compose"):
        Store(tmp_path / "node", lambda *_: "no").cascade(sent)


def test_what_arrives_damaged_or_as_another_file_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"sound")
    sent = bundle("audio", {"a.wav": file})
    told = hashlib.sha256(b"sound").hexdigest()
    bodies = iter([(b"noise", told)])
    with pytest.raises(StorageError, match="damaged on its way"):
        Store(tmp_path / "node", lambda *_: next(bodies)).audio(sent)
    other = iter([(b"other", hashlib.sha256(b"other").hexdigest()), (b"", hashlib.sha256(b"").hexdigest())])
    with pytest.raises(StorageError, match="another one than the daemon has told"):
        Store(tmp_path / "node", lambda *_: next(other)).audio(sent)
    assert [path for path in (tmp_path / "node").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("inside", ["../outside.wav", "/outside.wav", "a/../../outside.wav"])
def test_no_file_is_written_outside_of_the_store(tmp_path: Path, inside: str) -> None:
    sent = Bundle("audio", "a.wav", {inside: "sha256:0"})
    with pytest.raises(StorageError, match="expected one inside it"):
        Store(tmp_path / "node", lambda *_: (b"x", hashlib.sha256(b"x").hexdigest())).audio(sent)
    assert not (tmp_path / "outside.wav").exists()


def test_the_depot_hands_out_only_what_is_on_offer(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    depot = Depot("test")
    assert depot.read("0", str(secret), 0) == "the daemon does not offer it"
    depot.offer({"0": {"a.wav": str(tmp_path / "gone.wav")}})
    assert "cannot read" in str(depot.read("0", "a.wav", 0))


def test_an_adapter_is_linked_under_its_name_and_replaced_by_another_of_that_name(tmp_path: Path) -> None:
    depot, folder = Depot("test"), tmp_path / "adapters"
    folder.mkdir()
    store = Store(tmp_path / "node", depot.read)
    for content in (b"first", b"second"):
        source = tmp_path / content.decode() / "bass"
        source.mkdir(parents=True)
        (source / "adapter_model.safetensors").write_bytes(content)
        paths = {"bass/adapter_model.safetensors": source / "adapter_model.safetensors"}
        store.adapter(offered(depot, bundle("adapter", paths, "bass"), paths), folder)
        assert (folder / "bass" / "adapter_model.safetensors").read_bytes() == content
    file = tmp_path / "bass.safetensors"
    file.write_bytes(b"third")
    paths = {"bass.safetensors": file}
    store.adapter(offered(depot, bundle("adapter", paths, "bass"), paths), folder)
    assert [path.name for path in folder.iterdir()] == ["bass.safetensors"]


def test_the_roll_forgets_who_left_and_names_machines_with_another_version() -> None:
    depot = Depot("test")
    known = {
        "name": "a",
        "node": "1",
        "host": "studio-a",
        "pid": 1,
        "device": "cpu",
        "state": "idle",
        "most": 2,
    }
    from acestep.version import __version__

    depot.sign({**known, "version": __version__, "of a later version": 1})
    depot.sign({**known, "name": "b", "host": "studio-b", "version": "0.0.1"})
    signs, strangers = depot.roll()
    assert [type(sign) for sign in signs] == [Sign]
    assert strangers == {"studio-b": "0.0.1"}
    depot.leave("a")
    assert depot.roll()[0] == []
