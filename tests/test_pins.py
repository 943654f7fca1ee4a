"""What is installed is pinned with its hash, and the two lists of pins agree."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_HASH = {
    "torch",
    "sympy",
    "mpmath",
    "networkx",
}  # torch's builds differ by index; the others come with it
OWN = "acestep-bridge"


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def pins(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text("utf-8").splitlines()
    found = [re.match(r"([\w.-]+)==([\w.+!-]+)", line) for line in lines]
    return {name_of(match[1]): match[2] for match in found if match}


def wanted() -> set[str]:
    """What pyproject.toml asks for with all that `make install` installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    listed = [
        *project["dependencies"],
        *(one for name in ("dev", "web", "tensorboard") for one in extras[name]),
    ]
    return {name_of(one) for one in listed} - {OWN}


def test_every_package_has_hashes_and_a_version() -> None:
    text = (ROOT / "requirements.txt").read_text("utf-8")
    entries = re.split(r"\n(?=\S)", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    assert len(entries) > 100
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.+!-]+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_both_lists_name_the_same_versions() -> None:
    hashed, plain = pins("requirements.txt"), pins("constraints.txt")
    assert {name: version for name, version in hashed.items() if plain.get(name, version) != version} == {}


def test_what_a_cluster_needs_more_is_pinned_too_and_beside_the_rest() -> None:
    more, plain, rest = pins("requirements-cluster.txt"), pins("constraints.txt"), pins("requirements.txt")
    assert "ray" in more
    assert {name: version for name, version in more.items() if plain.get(name) != version} == {}
    assert set(more) & set(rest) == set()
    assert "--hash=sha256:" in (ROOT / "requirements-cluster.txt").read_text("utf-8")


def test_nothing_that_is_asked_for_lacks_a_pin() -> None:
    assert wanted() - set(pins("requirements.txt")) <= WITHOUT_HASH
    assert wanted() <= set(pins("constraints.txt"))
    assert set(pins("constraints.txt")) >= WITHOUT_HASH
