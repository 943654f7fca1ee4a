"""Command lines, settings and files that make no sense: a sentence for each of them."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lora_studio import cli as lora_studio
from plugin_bridge import cli as plugin_bridge
from server.cli import acestep

DEEP = "[" * 100_000
CONFIGS = [
    "grpc_port = ",
    f"samples = {DEEP}",
    "samples = 5",
    'samples = "a\\u0000b"',
    'samples = "~nobody/x"',
    "allowed_folders = 5",
    'allowed_folders = ["a\\u0000b"]',
    "osc_allow = [[]]",
    "grpc_port = 1e400",
    "idle_unload_min = nan",
    f"max_queue = {'9' * 4000}",
    "log_level = []",
    "require_token = 2",
    "[samples]\nx = 1",
    "nonsense = 1",
    "\x00",
]
TRAINING = [
    {"data": 5},
    {"data": "x", "name": []},
    {"data": "x", "name": "n", "stages": 5},
    {"data": "x", "name": "n", "stages": [5]},
    {"data": "x", "name": "n", "home": {}},
    {"data": "a\0b", "name": "n"},
    {"data": "~nobody/x", "name": "n"},
    {"data": "x", "name": "n", "rank": 10**400},
    {"data": "x", "name": "n", "minutes": "x"},
    {"data": "x", "name": "n", "targets": {}},
    [1],
    5,
    None,
]


@pytest.mark.parametrize(
    ("main", "words", "named"),
    [
        *(
            (acestep.main, ("generate", "x", "--local", option, ""), option)
            for option in (
                "--stages", "--key", "--signature", "--bpm", "--cascade", "--track", "--adapter", "--format",
                "--reference", "--context", "--midi", "--from", "--out", "--variant", "--home", "--samples",
                "--device", "--tempo-map", "--task",
            )
        ),
        (acestep.main, ("jobs", "--host", " "), "--host"),
        (acestep.main, ("serve", "--cascade", ""), "--cascade"),
        (acestep.main, ("serve", "--osc-allow", ""), "--osc-allow"),
        (acestep.main, ("web", "--daemon", ""), "--daemon"),
        (acestep.main, ("web", "--certificate", ""), "--certificate"),
        (acestep.main, ("inspect", ""), "FILE"),
        (acestep.main, ("pull", ""), "NAME"),
        (acestep.main, ("distill", "turbo", "--name", ""), "--name"),
        (plugin_bridge.main, ("install", "live", "--folder", ""), "--folder"),
        (lora_studio.main, ("prepare", ""), "FOLDER"),
        (lora_studio.main, ("train", "x", "--name", "n", "--trigger", ""), "--trigger"),
        (lora_studio.main, ("list", "--home", ""), "--home"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_an_empty_value_is_refused(
    main: Callable[[list[str]], int], words: tuple[str, ...], named: str
) -> None:
    assert f"{named} is empty: give it a value" in told(main, *words)


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (acestep.main, ("inspect", "~/x.wav")),
        (acestep.main, ("play", "~/x.wav")),
        (acestep.main, ("open", "~/x.wav")),
        (acestep.main, ("generate", "x", "--local", "--midi", "~/x.mid")),
        (acestep.main, ("generate", "x", "--local", "--reference", "~/x.wav")),
        (acestep.main, ("generate", "--local", "--from", "~/x.wav.json")),
        (acestep.main, ("generate", "x", "--local", "--cascade", "none", "--home", "~/x")),
        (acestep.main, ("convert", "~/x")),
        (acestep.main, ("web", "--daemon-certificate", "~/x.pem")),
        (plugin_bridge.main, ("install", "live", "--folder", "~/x")),
        (plugin_bridge.main, ("install", "vst", "--from", "~/x")),
        (lora_studio.main, ("prepare", "~/x")),
        (lora_studio.main, ("import", "~/x")),
        (lora_studio.main, ("remove", "gone", "--home", "~/x")),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_tilde_is_the_users_folder_in_every_option_that_takes_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main: Callable[[list[str]], int], words: tuple[str, ...]
) -> None:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert str(tmp_path / "x") in told(main, *words)


def test_a_word_behind_two_dashes_that_is_an_option_elsewhere_is_told_so() -> None:
    with contextlib.redirect_stderr(io.StringIO()) as told:
        assert acestep.main(["generate", "--", "-", "--quiet"]) == 2
    assert "--quiet stands behind --" in told.getvalue()
    assert "did you mean" not in told.getvalue()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees this user's home or daemon."""
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ACESTEP_GRPC_PORT", "1")  # nobody answers there
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def told(main: Callable[[list[str]], int], *words: str) -> str:
    """What a command says; it ends with a code of ours and without a fault."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = main(list(words))
    text = error.getvalue()
    assert code in (1, 2), (code, text)
    assert "Traceback" not in text
    assert "fault of the program" not in text
    assert text.strip()
    assert len(text) < 6_000
    return text


@pytest.mark.parametrize("content", CONFIGS, ids=lambda text: text[:40])
def test_settings_that_are_none_are_told(home: Path, content: str) -> None:
    (home / "config.toml").write_text(content)
    if "~nobody" in content:  # a folder that is not there yet is no mistake
        assert acestep.main(["jobs"]) == 0
        return
    said = told(acestep.main, "jobs")
    assert "config.toml" in said or "expected" in said


def test_a_home_that_is_none_is_told(home: Path) -> None:
    (home / "config.toml").mkdir()
    told(acestep.main, "jobs")
    for wrong in ("/dev/null", "/proc/none"):
        told(acestep.main, "serve", "--home", wrong, "--grpc-port", "0", "--osc-port", "0")


@pytest.mark.parametrize("token", [b"\xff" * 40, b"two\nlines of a token", "é".encode() * 30, b"\0" * 40])
def test_a_token_that_no_header_carries_is_told(home: Path, token: bytes) -> None:
    (home / "token").write_bytes(token)
    told(acestep.main, "cancel", "x")


@pytest.mark.parametrize("values", TRAINING, ids=lambda values: str(values)[:60])
def test_a_training_configuration_of_the_wrong_kind_is_told(tmp_path: Path, values: object) -> None:
    file = tmp_path / "train.json"
    file.write_text(json.dumps(values))
    told(lora_studio.main, "train", "--config", str(file))


@pytest.mark.parametrize(
    "words", [("train", "--config"), ("import",), ("train", "--name", "x")], ids=lambda words: words[0]
)
def test_what_is_nested_too_deeply_is_said_in_plain_words(tmp_path: Path, words: tuple[str, ...]) -> None:
    file = tmp_path / "deep.json"
    if words == ("import",):
        (tmp_path / "adapter").mkdir()
        file = tmp_path / "adapter" / "adapter_config.json"
        (file.parent / "adapter_model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    file.write_text(DEEP)
    said = told(lora_studio.main, *words, str(file if words != ("import",) else file.parent))
    assert "nested too deeply" in said
    assert "recursion" not in said


def test_a_training_configuration_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    for name, content in (
        ("a.json", DEEP),
        ("a.toml", f"data = {DEEP}"),
        ("b.json", "\xff"),
        ("c.toml", "="),
    ):
        (tmp_path / name).write_text(content, encoding="latin-1")
        assert "codec" not in told(lora_studio.main, "train", "--config", str(tmp_path / name))
    told(lora_studio.main, "train", "--config", str(tmp_path))


@pytest.mark.parametrize(
    "words",
    [
        ["generate", "x", "--reference", "~nobody/x.wav", "--local"],
        ["generate", "x", "--context", "~nobody/x.wav", "--local"],
        ["generate", "x", "--out", "/proc/x", "--local", "--cascade", "~nobody"],
        ["generate", "x", "--adapter", "n" * 5000, "--local"],
        ["generate", "x", "--midi", "/dev/zero"],
        ["generate", "x", "--midi", "."],
        ["generate", "x", "--from", "/dev/null"],
        ["generate", "x", "--from", "~nobody/x.wav.json"],
        ["generate", "x", "--host", "[::", "--device", "\x1b[2J", "--local"],
        ["inspect", "~nobody/x.wav"],
        ["inspect", "x" * 5000],
        ["cancel", "\x1b[2J", "--host", "[::"],
        ["serve", "--tls-cert", "/etc/passwd", "--tls-key", "/etc/hostname", "--grpc-port", "0"],
        ["serve", "--host", "no such host", "--grpc-port", "0", "--osc-port", "0"],
        ["web", "--port", "99999"],
        ["web", "--osc-port", "-1"],
        ["pull", "\x1b[31m"],
        ["convert", "~nobody/x", "out"],
        ["compose", "--stage", "=", "--name", "x"],
        ["compose", "--stage", "l=../..:0-3", "--name", "x"],
        ["nano", "train", "~nobody"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_command_lines_of_acestep(words: list[str]) -> None:
    assert "\x1b" not in told(acestep.main, *words)


@pytest.mark.parametrize(
    "words",
    [
        ["show", "../../etc"],
        ["show", "n" * 5000],
        ["show", "~nobody/x"],
        ["import", "/etc/passwd"],
        ["import", "~nobody/x"],
        ["export", "\x1b[2J", "out"],
        ["merge", "a:b"],
        ["merge", "a:nan", "--name", "x"],
        ["prepare", "~nobody/x"],
        ["prepare", "/dev/null"],
        ["train", "n" * 5000, "--name", "x"],
        ["train", ".", "--name", "x", "--rank", "9" * 400],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_command_lines_of_lora_studio(words: list[str]) -> None:
    assert "\x1b" not in told(lora_studio.main, *words)


@pytest.mark.parametrize(
    "words",
    [
        ["monitor", "--port", "99999"],
        ["monitor", "--relay", "x"],
        ["install", "vst", "--from", "/dev/null"],
        ["install", "live", "--folder", "/proc/x"],
        ["install", "reaper", "--folder", "/dev/null"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_command_lines_of_plugin_bridge(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    told(plugin_bridge.main, *words)


@pytest.mark.parametrize("address", ["[::1", "::::", "x y", "\x1b", "x:99999999"])
def test_an_address_that_is_none_is_told_by_every_bridge(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plugin_bridge.calls import Target
    from plugin_bridge.errors import BridgeError

    monkeypatch.setenv("ACESTEP_ADDRESS", address)
    with pytest.raises(BridgeError):
        Target.find()
