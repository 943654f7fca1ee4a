"""Plugins of a release: the packages of it, the manifest that lists them, and how one gets here.

A package is a zip with the three plugins, their licences and the SHA-256 sums of all of it. The manifest
is written when a release is made (`python -m plugin_bridge.releases FOLDER`) and lies beside the packages.
Nothing is taken that is not what the manifest and the sums say. Whether a plugin works is not known here.
"""

import hashlib
import http.client
import json
import re
import stat
import sys
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from io import BufferedReader
from pathlib import Path, PurePosixPath
from platform import machine
from typing import Annotated, Literal

import msgspec

from acestep import files, typed_json
from acestep.errors import InvalidRequest, NotFound, Unavailable
from acestep.version import __version__

MANIFEST = "plugins.json"
SUMS = "SHA256SUMS"  # in every package, as `sha256sum` writes it
ADDRESS = "Releases"  # the name of the address among the project's
SYSTEMS = {"linux": "linux", "darwin": "darwin", "win32": "windows"}  # Python's names, and those of packages
PROCESSORS = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}  # other names of the same
UNIVERSAL = "universal"  # for every processor of its system
NAME = re.compile(r"AceStepBridge-(?P<version>.+)-(?P<system>[a-z]+)-(?P<processor>[a-z0-9_]+)\.zip")
SILENCE_S = 15.0  # a server that says nothing for so long is given up
DOWNLOAD_S = 600.0
MOST_BYTES = 128 << 20  # a package has about 2 MB, unpacked 6 MB
MOST_FILES = 2_000
PIECE_BYTES = 1 << 16

Sum = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Package:
    """One file of a release: the plugins for one system and processor."""

    name: Annotated[str, msgspec.Meta(pattern=f"^{NAME.pattern}$", max_length=200)]
    system: str
    processor: str
    bytes: Annotated[int, msgspec.Meta(ge=1, le=MOST_BYTES)]
    sha256: Sum


@dataclass(frozen=True)
class Manifest:
    """What `plugins.json` says of a release."""

    format: Literal[1]
    version: str
    packages: tuple[Package, ...]


def processor() -> str:
    """This machine's, as packages name it."""
    here = machine().lower()
    return PROCESSORS.get(here, here)


def address() -> str:
    """Where this copy's releases lie, "" for a copy that names no place: one that is not of a release."""
    try:
        told = metadata.metadata("acestep-bridge").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    named = dict(line.split(", ", 1) for line in told if ", " in line)
    return str(named.get(ADDRESS, "")).rstrip("/")


def beside(folder: Path, platform: str) -> Path | None:
    """This release's package for this machine, where it lies in the folder."""
    names = (package_name(platform, each) for each in (processor(), UNIVERSAL))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def package_name(platform: str, processor: str) -> str:
    """How this release's package for a system and a processor is called."""
    return f"AceStepBridge-{__version__}-{SYSTEMS.get(platform, platform)}-{processor}.zip"


def write_manifest(folder: Path) -> Manifest:
    """Lists the packages in a folder, beside them. Raises NotFound without any, InvalidRequest for another
    version's."""
    packages = []
    for path in sorted(folder.glob("*.zip")):
        if not (found := NAME.fullmatch(path.name)):
            continue
        if found["version"] != __version__:
            raise InvalidRequest(f"{path.name} is not of version {__version__}: remove it, or build it anew")
        known = PROCESSORS.get(found["processor"], found["processor"])
        packages.append(
            Package(path.name, found["system"], known, path.stat().st_size, _sum_of(path.open("rb")))
        )
    if not packages:
        raise NotFound(
            f"no plugin package lies in {folder}: expected files like {package_name('linux', 'x86_64')}"
        )
    manifest = Manifest(1, __version__, tuple(packages))
    files.write_whole(folder / MANIFEST, json.dumps(asdict(manifest), indent=1).encode() + b"\n")
    return manifest


def download(folder: Path, platform: str, releases: str = "") -> Path:
    """Brings this release's package for this machine into a folder, whole or not at all.

    `releases`: where releases lie (https), else what the installed copy says of itself. Raises NotFound where
    there is none, Unavailable where nobody can be reached, InvalidRequest for anything but what is listed.
    """
    releases = releases or address()
    if not releases:
        raise NotFound(
            "this copy of the program is not of a release, and names no place to download one from. A "
            f"{package_name(platform, processor())} from elsewhere can be named with --from"
        )
    place = f"{releases}/v{__version__}"
    told = b"".join(_pieces(f"{place}/{MANIFEST}", typed_json.MAX_BYTES, platform))
    manifest = typed_json.parse(told, Manifest, f"{place}/{MANIFEST}")
    package = _package_for(manifest, place, platform)
    path = folder / package.name
    with files.appearing(path) as hidden:
        with hidden.open("wb") as file:
            for piece in _pieces(f"{place}/{package.name}", package.bytes, platform):
                file.write(piece)
        _check(hidden, package, f"{place}/{package.name}")
    return path


def _package_for(manifest: Manifest, place: str, platform: str) -> Package:
    if manifest.version != __version__:
        raise InvalidRequest(
            f"{place}/{MANIFEST} is of version {manifest.version}, expected {__version__}: update this "
            "program, or build the plugin yourself"
        )
    system, here = SYSTEMS.get(platform, platform), processor()
    for package in manifest.packages:
        if package.system == system and package.processor in (here, UNIVERSAL):
            return package
    there = ", ".join(f"{one.system} {one.processor}" for one in manifest.packages) or "no system"
    raise NotFound(
        f"release {__version__} has plugins for {there}, and none for {system} {here}: build it yourself, as "
        "plugin_bridge/vst/README.md says"
    )


def _check(path: Path, package: Package, source: str) -> None:
    with path.open("rb") as file:
        found = _sum_of(file)
    if found == package.sha256:
        return
    size = path.stat().st_size
    what = f"{size} of {package.bytes} bytes" if size != package.bytes else f"SHA-256 {found[:12]}…"
    raise InvalidRequest(
        f"{source} is not what its release lists ({what}, expected SHA-256 {package.sha256[:12]}…): it was "
        "changed, or damaged on its way. Nothing was installed; try again"
    )


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere, but never to where others could listen or answer in its place."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        try:
            _require_https(newurl)
        except InvalidRequest:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> None:
    if not url.startswith("https://"):
        raise InvalidRequest(f"{url} is not an https address: plugins are downloaded over https only")


def _pieces(url: str, most_bytes: int, platform: str) -> Iterator[bytes]:
    """What lies at an address, piece by piece. Raises NotFound for what is not there, Unavailable."""
    _require_https(url)
    until = time.monotonic() + DOWNLOAD_S
    asked = urllib.request.Request(url, headers={"User-Agent": f"plugin-bridge/{__version__}"})
    come = 0
    try:
        with urllib.request.build_opener(_OnlyHttps).open(asked, timeout=SILENCE_S) as answer:
            while piece := answer.read(PIECE_BYTES):
                come += len(piece)
                if come > most_bytes:
                    raise InvalidRequest(
                        f"{url} has more than the {most_bytes} bytes expected: it is not taken"
                    )
                if time.monotonic() > until:
                    raise TimeoutError(f"not finished within {DOWNLOAD_S:.0f} s")
                yield piece
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        if isinstance(error, urllib.error.HTTPError) and error.code in (404, 410):
            raise NotFound(
                f"there is no {url}: release {__version__} was not published there, or not with plugins. "
                "Build the plugin yourself, as plugin_bridge/vst/README.md says"
            ) from error
        raise Unavailable(
            f"{url} cannot be downloaded ({_why(error)}): go online and try again, or bring "
            f"{package_name(platform, processor())} here from another computer and name it with --from"
        ) from error


def _why(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    reason = getattr(error, "reason", None) or error
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__


def unpack(package: Path, folder: Path) -> Path:
    """The folder with the plugins and their sums that a package unpacks to, below `folder`.

    Raises InvalidRequest for a file that is no package, is damaged, or would write elsewhere; what was
    written by then lies below `folder`.
    """
    try:
        with zipfile.ZipFile(package) as archive:
            inside = archive.infolist()
            if len(inside) > MOST_FILES or sum(one.file_size for one in inside) > MOST_BYTES:
                raise InvalidRequest(f"{package} holds more than a plugin has: it is not unpacked")
            for one in inside:
                _unpack_one(archive, one, package, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidRequest(
            f"{package} cannot be unpacked ({error}): expected a zip of a release. Download it again"
        ) from error
    except OSError as error:
        raise InvalidRequest(f"{package} cannot be unpacked ({error.strerror or error})") from error
    found = sorted(folder.rglob(SUMS))
    if len(found) != 1:
        raise InvalidRequest(f"{package} has no {SUMS} in it: expected a zip of a release")
    return found[0].parent


def _unpack_one(archive: zipfile.ZipFile, one: zipfile.ZipInfo, package: Path, folder: Path) -> None:
    mode = one.external_attr >> 16
    name = PurePosixPath(one.filename)
    odd = "\\" in one.filename or ":" in one.filename or name.is_absolute() or ".." in name.parts
    if odd or stat.S_ISLNK(mode):
        raise InvalidRequest(
            f"{package} would write outside its folder ({one.filename}): it is not a package of a release, "
            "and nothing was installed"
        )
    target = folder / name
    if one.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(one) as source, target.open("xb") as file:
        while piece := source.read(PIECE_BYTES):
            file.write(piece)
    target.chmod(0o755 if mode & 0o111 else 0o644)


def check_sums(release: Path, plugins: Iterable[Path]) -> None:
    """Each of the plugins' files is the one whose SHA-256 is listed, and none that is listed is missing.

    Raises InvalidRequest.
    """
    lines = (line.partition("  ") for line in (release / SUMS).read_text("utf-8", "replace").splitlines())
    listed = {name: told for told, _, name in lines}
    there = {path.relative_to(release).as_posix() for path in plugins}
    for name in [*sorted(there), *sorted(listed.keys() - there)]:
        path = release / name
        if not path.is_file() or listed.get(name) != _sum_of(path.open("rb")):
            raise InvalidRequest(
                f"{path} is not the file that {release / SUMS} lists: it was changed, or damaged on its way. "
                "Download the release again"
            )


def _sum_of(file: BufferedReader) -> str:
    with file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    for package in write_manifest(Path(sys.argv[1])).packages:
        print(package.sha256, package.name)
