"""Settings: file < environment < flags, strict about names and values."""

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
        ("host = 3", "expected a text"),
        ("require_token = 'maybe'", "expected true or false"),
        ("osc_allow = ['not an address']", "not an address"),
        ("log_level = 'loud'", "debug, info"),
        ("max_queue = 0", "1–10000"),
        ("samples = ''", "expected a path"),
        ("= 3", "is not TOML"),
    ],
)
def test_wrong_values_say_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected):
        config.load({"home": written(tmp_path, text)}, {})


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
