"""Settings: file < environment < flags, strict about names and values."""

import re
from pathlib import Path

import pytest

from acestep.errors import InvalidRequest
from server import config


def written(folder: Path, text: str) -> Path:
    (folder / "config.toml").write_text(text)
    return folder


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    found = config.load({"home": tmp_path}, {})
    assert (found.host, found.grpc_port, found.osc_host, found.osc_port) == (
        "127.0.0.1",
        50551,
        "127.0.0.1",
        9127,
    )
    assert found.samples.name == "ACE-Step"


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    home = written(tmp_path, 'grpc_port = 1\nosc_port = 1\ncascade = "file"')
    environment = {"ACESTEP_GRPC_PORT": "2", "ACESTEP_OSC_PORT": "2", "ACESTEP_HOME": str(home)}
    found = config.load({"grpc_port": "3", "cascade": None}, environment)
    assert (found.grpc_port, found.osc_port, found.cascade) == (3, 2, "file")


def test_an_unknown_key_names_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"unknown key grcp_port.*grpc_port"):
        config.load({"home": written(tmp_path, "grcp_port = 1")}, {})


def test_environment_names_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    config.load({"home": tmp_path}, {"ACESTEP_LM_MODEL_PATH": "x", "ACESTEP_CONFIG_PATH": "y"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grpc_port = 'x'", "expected a whole number"),
        ("grpc_port = 70000", "0–65535"),
        ("grpc_port = 1.5", "expected a whole number"),
        ("grpc_port = true", "expected a whole number"),
        ("host = 3", "expected an address"),
        ("midi_prompt = 3", "expected text"),
        ("variant = 'xl'", "one of auto, l, m, s, nano"),
        ("cascade = 3", "expected a name, or the path of a folder"),
        ("idle_unload_min = nan", "a number, 0–100000"),
        ("allowed_folders = ['']", "expected a list, each a path"),
        ("require_token = 'maybe'", "expected true or false"),
        ("osc_allow = ['not an address']", "not an address"),
        ("log_level = 'loud'", "debug, info"),
        ("max_queue = 0", "1–10000"),
        ("device = 'banana'", "expected auto, cpu, cuda, cuda:N or mps"),
        ("samples = ''", "expected a path"),
        ("= 3", "is not TOML"),
    ],
)
def test_wrong_values_say_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected):
        config.load({"home": written(tmp_path, text)}, {})


def test_settings_in_another_encoding_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b'midi_prompt = "a"\nmidi_input = "Fl\xfcgel"\n')
    with pytest.raises(InvalidRequest, match="is not TOML: line 2 is not UTF-8 text: save the file as UTF-8"):
        config.load({"home": tmp_path}, {})


@pytest.mark.parametrize(
    ("flags", "environ", "says"),
    [
        ({"osc_port": "70000"}, {}, "--osc-port is '70000': expected a whole number, 0–65535"),
        ({"host": ""}, {}, "--host is '': expected an address"),
        ({"samples": ""}, {}, "--samples is '': expected a path"),
        ({"home": ""}, {}, "--home is '': expected a path"),
        ({"device": ""}, {}, "--device is '': expected auto, cpu"),
        ({}, {"ACESTEP_MAX_QUEUE": "many"}, "ACESTEP_MAX_QUEUE in the environment is 'many'"),
    ],
)
def test_a_wrong_value_is_told_by_the_name_it_was_given_with(
    tmp_path: Path, flags: dict[str, str], environ: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=re.escape(says)):
        config.load({"home": tmp_path, **flags}, environ)


def test_a_wrong_value_in_the_file_is_told_also_where_a_flag_wins(tmp_path: Path) -> None:
    home = written(tmp_path, "grpc_port = 'x'")
    says = f"grpc_port in {home / 'config.toml'} is 'x'"
    with pytest.raises(InvalidRequest, match=re.escape(says)):
        config.load({"home": home, "grpc_port": "1"}, {})


def test_relative_paths_start_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    (tmp_path / "link").symlink_to(home)
    monkeypatch.chdir(here)
    written(home, 'samples = "clips"\nallowed_folders = ["../music"]\ncascade = "mine/large"\nplanner = "lm"')
    found = config.load({"home": "../home"}, {})
    assert found.home.resolve() == home
    assert found.samples == found.home / "clips"
    assert [folder.resolve() for folder in found.allowed_folders] == [tmp_path / "music"]
    assert (found.cascade, found.planner) == (str(found.home / "mine" / "large"), "lm")
    found = config.load({"samples": "clips"}, {"ACESTEP_HOME": "../link", "ACESTEP_CASCADE": "~/large"})
    assert found.home.resolve() == home
    assert found.samples == here / "clips"
    assert found.cascade == str(Path.home() / "large")


def test_switches_and_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    for text, meant in (("on", True), ("Yes", True), ("1", True), ("off", False), ("FALSE", False)):
        assert config.load({"home": tmp_path}, {"ACESTEP_REQUIRE_TOKEN": text}).require_token is meant
    assert config.load({"home": tmp_path, "idle_unload_min": "1,5"}, {}).idle_unload_min == 1.5


def test_every_setting_is_in_the_table_with_its_values() -> None:
    table = (Path(config.__file__).parent / "README.md").read_text("utf-8")
    assert all(
        option.expected and f"| `{name}` | {option.help}" in table for name, option in config.OPTIONS.items()
    )


def test_lists_and_paths_are_read_from_all_sources(tmp_path: Path) -> None:
    home = written(tmp_path, 'allowed_folders = ["~/x", "/y"]\nosc_allow = ["10.0.0.0/8"]')
    found = config.load({"home": home}, {})
    assert found.allowed_folders == (Path.home() / "x", Path("/y"))
    assert found.osc_allow == ("10.0.0.0/8",)
    found = config.load({"home": home}, {"ACESTEP_ALLOWED_FOLDERS": "/a:/b", "ACESTEP_REQUIRE_TOKEN": "yes"})
    assert found.allowed_folders == (Path("/a"), Path("/b"))
    assert found.require_token is True


def test_certificates_in_home_are_found(tmp_path: Path) -> None:
    assert config.load({"home": tmp_path}, {}).tls_cert is None
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "cert.pem").touch()
    assert config.load({"home": tmp_path}, {}).tls_cert == tmp_path / "tls" / "cert.pem"


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder")
    with pytest.raises(InvalidRequest, match="home is a file: expected the folder"):
        config.load({"home": tmp_path / "home"}, {})
