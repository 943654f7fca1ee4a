"""Plugins without a compiler: a release comes from a real HTTPS server, and nothing but what it lists."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import ssl
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep.version import __version__
from plugin_bridge import cli, folders, releases
from plugin_bridge.errors import InvalidRequest, NotFound, Unavailable
from tests.support.daemons import certify

ELF, WINDOWS = b"\x7fELF plugin", b"MZ plugin"
INSIDE = {"AceStepBridge.clap": ELF, "AceStepBridge.lv2/manifest.ttl": b"ttl", "licenses/LICENSE": b"MIT"}


def package_of(
    folder: Path, name: str = "", contents: dict[str, bytes] | None = None, sums: str | None = None
) -> Path:
    """A zip as CPack writes it: one folder, with the sums of all that is in it."""
    contents = INSIDE if contents is None else contents
    name = name or releases.package_name("linux", releases.processor())
    listed = "".join(f"{hashlib.sha256(data).hexdigest()}  {inside}\n" for inside, data in contents.items())
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, data in {**contents, releases.SUMS: (sums or listed).encode()}.items():
            entry = zipfile.ZipInfo(f"{path.stem}/{inside}")
            entry.external_attr = (stat.S_IFREG | (0o755 if inside.endswith(".clap") else 0o644)) << 16
            archive.writestr(entry, data)
    return path


class Site(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and misbehaves where it is told to: name → what to do with the answer."""

    tricks: dict[str, Callable[["Site"], None]]

    def do_GET(self) -> None:
        trick = self.tricks.get(self.path.rsplit("/", 1)[-1])
        if trick:
            trick(self)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Release:
    """A published release: its folder, its address and its server's tricks."""

    def __init__(self, folder: Path, address: str, tricks: dict[str, Callable[[Site], None]]) -> None:
        self.root, self.address, self.tricks = folder, address, tricks
        self.folder = folder / f"v{__version__}"
        self.folder.mkdir()
        self.package = package_of(self.folder)
        releases.write_manifest(self.folder)

    def manifest(self, **changes: object) -> None:
        """Another one in place of its manifest."""
        file = self.folder / releases.MANIFEST
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certify(tmp_path_factory.mktemp("certificate"), "127.0.0.1")


@pytest.fixture
def release(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    """Served over HTTPS, by a certificate that this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "site"
    folder.mkdir()
    tricks: dict[str, Callable[[Site], None]] = {}

    def handler(*words: object) -> Site:
        return type("Handler", (Site,), {"tricks": tricks})(*words, directory=str(folder))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *words: None  # who hangs up is part of the tests
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Release(folder, f"https://127.0.0.1:{server.server_port}", tricks)
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has built nothing; the plugin folders are in this home."""
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setattr(folders, "BUILT", (tmp_path / "not built",))
    monkeypatch.setattr(folders, "HERE", tmp_path / "installed" / "plugin_bridge")
    (tmp_path / "installed" / "plugin_bridge").mkdir(parents=True)
    (tmp_path / "user").mkdir()
    return tmp_path / "user"


def named(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This copy is of a release: its metadata say where releases lie, as those of its wheel do."""
    told = folder / "acestep_bridge-9.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: acestep-bridge\nVersion: 9\nProject-URL: Releases, {address}\n"
    )
    monkeypatch.syspath_prepend(folder)


def installed(user: Path) -> list[str]:
    return sorted(path.relative_to(user).as_posix() for path in user.rglob("*") if path.is_file())


def test_a_release_is_downloaded_checked_and_installed_by_one_command(
    release: Release,
    machine_alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    named(tmp_path, release.address, monkeypatch)
    assert cli.main(["install", "vst", "--dry-run"]) == 0
    assert installed(machine_alone) == []
    assert cli.main(["install", "vst"]) == 0
    assert installed(machine_alone) == [
        ".clap/AceStepBridge.clap", ".lv2/AceStepBridge.lv2/manifest.ttl"
    ]  # fmt: skip
    assert os.access(machine_alone / ".clap" / "AceStepBridge.clap", os.X_OK)
    assert release.package.name in capfd.readouterr().out
    assert cli.main(["status", "--json"]) == 0
    rows = [row for row in json.loads(capfd.readouterr().out) if row["name"] == "vst"]
    assert [row["state"] for row in rows] == ["installed", "installed"]
    (machine_alone / ".clap" / "AceStepBridge.clap").write_bytes(b"mine")
    assert cli.main(["status", "--json"]) == 0
    rows = [row for row in json.loads(capfd.readouterr().out) if row["name"] == "vst"]
    assert sorted(row["state"] for row in rows) == ["changed", "installed"]


def test_a_local_build_goes_before_a_zip_beside_the_package_and_that_before_a_release(
    release: Release, machine_alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(tmp_path, release.address, monkeypatch)
    clap = machine_alone / ".clap" / "AceStepBridge.clap"
    package_of(tmp_path / "installed", contents={"AceStepBridge.clap": ELF + b" beside"})
    assert cli.main(["install", "vst"]) == 0
    assert clap.read_bytes() == ELF + b" beside"
    (tmp_path / "not built" / "bin").mkdir(parents=True)
    (tmp_path / "not built" / "bin" / "AceStepBridge.clap").write_bytes(ELF + b" built here")
    assert cli.main(["install", "vst"]) == 0
    assert clap.read_bytes() == ELF + b" built here"
    assert cli.main(["install", "vst", "--from", str(package_of(tmp_path))]) == 0
    assert clap.read_bytes() == ELF


def cut(site: Site) -> None:
    """Promises a whole file, and hangs up after half of it."""
    data = Path(site.translate_path(site.path)).read_bytes()
    site.send_response(200)
    site.send_header("Content-Length", str(len(data)))
    site.end_headers()
    site.wfile.write(data[: len(data) // 2])
    site.close_connection = True


def endless(site: Site) -> None:
    site.send_response(200)
    site.end_headers()
    with contextlib.suppress(OSError):
        while True:
            site.wfile.write(b"x" * 65_536)


def silent(site: Site) -> None:
    time.sleep(1.5)


def busy(site: Site) -> None:
    site.send_error(503)


def elsewhere(to: str) -> Callable[[Site], None]:
    def redirect(site: Site) -> None:
        site.send_response(302)
        site.send_header("Location", to)
        site.end_headers()

    return redirect


@pytest.mark.parametrize(
    ("trick", "error", "words"),
    [
        (cut, InvalidRequest, r"of \d+ bytes.*Nothing was installed"),
        (endless, InvalidRequest, "more than the"),
        (silent, Unavailable, r"timed out.*--from"),
        (busy, Unavailable, r"answers 503.*--from"),
        (elsewhere("http://127.0.0.1:9/plugin.zip"), InvalidRequest, "over https only"),
        (elsewhere("file:///etc/passwd"), Unavailable, "not allowed"),
    ],
)
def test_what_goes_wrong_on_the_way_leaves_nothing(
    release: Release,
    tmp_path: Path,
    trick: Callable[[Site], None],
    error: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trick is silent:
        monkeypatch.setattr(releases, "SILENCE_S", 0.3)
    target = tmp_path / "here"
    target.mkdir()
    for name in (release.package.name, releases.MANIFEST):
        release.tricks.clear()
        release.tricks[name] = trick
        with pytest.raises((error, InvalidRequest) if name == releases.MANIFEST else error) as told:
            releases.download(target, "linux", release.address)
        if name != releases.MANIFEST:
            told.match(words)
        assert list(target.iterdir()) == []


def test_a_changed_package_is_refused(release: Release, tmp_path: Path) -> None:
    data = bytearray(release.package.read_bytes())
    data[40] ^= 1
    release.package.write_bytes(data)
    with pytest.raises(InvalidRequest, match="expected SHA-256"):
        releases.download(tmp_path, "linux", release.address)
    assert not (tmp_path / release.package.name).exists()


def test_a_release_that_is_not_there_or_of_another_version_is_told(release: Release, tmp_path: Path) -> None:
    release.manifest(version="0.0.1")
    with pytest.raises(InvalidRequest, match=r"version 0\.0\.1, expected"):
        releases.download(tmp_path, "linux", release.address)
    for broken in ({"format": 2}, {"packages": [{"name": "../x.zip"}]}):
        release.manifest(version=__version__, **broken)
        with pytest.raises(InvalidRequest, match="not as expected"):
            releases.download(tmp_path, "linux", release.address)
    with pytest.raises(NotFound, match=r"release .* was not published"):
        releases.download(tmp_path, "linux", f"{release.address}/nowhere")


def test_other_systems_packages_are_not_taken(
    release: Release,
    machine_alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(NotFound, match=r"has plugins for linux .*, and none for windows"):
        releases.download(tmp_path, "win32", release.address)
    # the list says Linux, the package holds what Windows runs
    package_of(release.folder, contents={"AceStepBridge.clap": WINDOWS})
    releases.write_manifest(release.folder)
    named(tmp_path, release.address, monkeypatch)
    assert cli.main(["install", "vst"]) == 2
    assert "another system" in capsys.readouterr().err
    assert installed(machine_alone) == []


def test_a_macs_universal_package_is_for_all_its_processors(release: Release, tmp_path: Path) -> None:
    name = releases.package_name("darwin", releases.UNIVERSAL)
    package_of(release.folder, name, {"AceStepBridge.clap": b"\xca\xfe\xba\xbe"})
    releases.write_manifest(release.folder)
    assert releases.download(tmp_path, "darwin", release.address).name == name


def test_without_a_network_or_a_release_it_says_what_to_do(
    machine_alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["install", "vst"]) == 2
    assert "not of a release" in capsys.readouterr().err
    named(tmp_path, "https://127.0.0.1:9", monkeypatch)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert cli.main(["install", "vst"]) == 1
    told = capsys.readouterr().err
    assert "refused" in told
    assert "go online and try again" in told
    assert "--from" in told


def test_a_server_that_nobody_vouches_for_is_refused(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unavailable, match="certificate"):
        releases.download(tmp_path, "linux", release.address)
    with pytest.raises(InvalidRequest, match="over https only"):
        releases.download(tmp_path, "linux", release.address.replace("https", "http"))


@pytest.mark.parametrize(
    "name", ["../out", "/tmp/out", "a/../../out", "C:\\out", "..\\out", "a:b", "x/../../../out"]
)
def test_a_zip_that_would_write_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "AceStepBridge.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(InvalidRequest, match="outside its folder"):
        releases.unpack(path, tmp_path / "unpacked")
    assert sorted(each.name for each in tmp_path.rglob("*") if each.is_file()) == ["AceStepBridge.zip"]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "AceStepBridge.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("a/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
    with pytest.raises(InvalidRequest, match="outside its folder"):
        releases.unpack(path, tmp_path / "unpacked")


@pytest.mark.parametrize(
    ("contents", "sums", "words"),
    [
        ({"AceStepBridge.clap": ELF}, "0" * 64 + "  AceStepBridge.clap\n", "SHA256SUMS"),
        ({"AceStepBridge.clap": ELF}, "\n", "SHA256SUMS"),
        ({"readme": b""}, None, "no built plugin"),
        (
            {"AceStepBridge.clap": ELF},
            hashlib.sha256(ELF).hexdigest() + "  AceStepBridge.clap\n" + "1" * 64 + "  /etc/passwd\n",
            "/etc/passwd",
        ),
    ],
)
def test_a_package_that_is_not_what_its_sums_say_is_refused(
    machine_alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture,
    contents: dict[str, bytes], sums: str | None, words: str,
) -> None:  # fmt: skip
    package = package_of(tmp_path, contents=contents, sums=sums)
    assert cli.main(["install", "vst", "--from", str(package)]) == 2
    assert words in capsys.readouterr().err
    assert installed(machine_alone) == []


@pytest.fixture(scope="module")
def sound_package(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return package_of(tmp_path_factory.mktemp("package")).read_bytes()


@given(st.data())
def test_a_damaged_zip_is_one_sentence_or_what_it_was(
    sound_package: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    body = bytearray(sound_package[: data.draw(st.integers(0, len(sound_package)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damaged")
    package = folder / "AceStepBridge.zip"
    package.write_bytes(body)
    try:
        release = releases.unpack(package, folder / "unpacked")
        plans = folders.plans("vst", folders.Machine("linux", folder, {}), built=release)
    except (InvalidRequest, NotFound):
        return
    files = {inside: source.read_bytes() for plan in plans for inside, source in plan.files.items()}
    assert all(INSIDE[inside] == data for inside, data in files.items())


def test_the_manifest_is_written_by_the_releases_own_command(tmp_path: Path) -> None:
    package = package_of(tmp_path)
    command = [sys.executable, "-m", "plugin_bridge.releases", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sum_of = hashlib.sha256(package.read_bytes()).hexdigest()
    assert done.stdout == f"{sum_of} {package.name}\n"
    told = json.loads((tmp_path / releases.MANIFEST).read_text())
    assert told["version"] == __version__
    assert told["packages"][0]["sha256"] == sum_of
    package_of(tmp_path, "AceStepBridge-0.0.1-linux-x86_64.zip")
    with pytest.raises(InvalidRequest, match="not of version"):
        releases.write_manifest(tmp_path)
    with pytest.raises(NotFound, match="no plugin package"):
        releases.write_manifest(tmp_path.parent)


def test_a_zip_of_more_than_a_plugin_has_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1 << 20))
    (tmp_path / "AceStepBridge.zip").write_bytes(body.getvalue())
    monkeypatch.setattr(releases, "MOST_BYTES", (1 << 20) - 1)
    with pytest.raises(InvalidRequest, match="more than a plugin"):
        releases.unpack(tmp_path / "AceStepBridge.zip", tmp_path / "unpacked")
