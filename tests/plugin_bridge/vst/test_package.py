"""What a release holds: the plugins, their licences, and the sums that the installer checks; what
`cmake --install` brings; and the rules of a build for macOS, as far as they can be seen without one."""

import plistlib
import re
from pathlib import Path

import pytest

from acestep.version import __version__
from plugin_bridge import folders, releases
from tests.support.hosts import building

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(("system", "platform"), [("Linux", "linux"), ("Windows", "win32")])
def test_a_package_holds_what_the_installer_takes(system: str, platform: str, tmp_path: Path) -> None:
    built = building.plugin() if system == "Linux" else building.windows()
    building.run(["cpack", "--config", built.folder / "CPackConfig.cmake", "-B", tmp_path])
    package = tmp_path / releases.package_name(platform, "x86_64")
    assert package.is_file()
    building.run(["sha256sum", "-c", f"{package.name}.sha256"], folder=tmp_path)
    release = releases.unpack(package, tmp_path / "unpacked")
    building.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], folder=release)
    assert {path.name for path in (release / "licenses").iterdir()} == {
        "LICENSE", "DPF.txt", "NanoVG.txt", "DejaVuSans.txt"
    }  # fmt: skip
    machine = folders.Machine(platform, tmp_path / "user", {})
    plugins = folders.plans("vst", machine, built=release)
    assert {next(iter(one.files)).split("/")[0] for one in plugins} == {
        f"AceStepBridge{ending}" for ending in folders.PLUGIN_ENDINGS
    }
    assert sum(len(one.files) for one in plugins) == sum(
        path.is_file() and path.parent.name != "licenses" and path.name != releases.SUMS
        for path in release.rglob("*")
    )


@pytest.mark.parametrize(
    ("system", "places"),
    [("Linux", ("lib/vst3", "lib/clap", "lib/lv2")), ("Windows", ("VST3", "CLAP", "LV2"))],
)
def test_cmake_installs_where_the_systems_daws_look(
    system: str, places: tuple[str, ...], tmp_path: Path
) -> None:
    built = building.plugin() if system == "Linux" else building.windows()
    building.run(["cmake", "--install", built.folder, "--prefix", tmp_path / "prefix"])
    expected = {
        "/".join(filter(None, (place, plugin.name, name))): data
        for place, plugin in zip(places, (built.vst3, built.clap, built.lv2), strict=True)
        for name, data in contents(plugin).items()
    }
    assert contents(tmp_path / "prefix") == expected
    folders_there = [path for path in (tmp_path / "prefix").rglob("*") if path.is_dir()]
    assert [path for path in folders_there if not any(path.iterdir())] == []


def contents(path: Path) -> dict[str, bytes]:
    """Every file in it by its name inside; "" for a file itself."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {
        each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()
    }


def test_the_rules_for_macos_make_signed_bundles_for_both_kinds_of_processor(tmp_path: Path) -> None:
    """CMake writes them here; no Mac has followed them."""
    building.need("cmake", "ninja", "g++")
    toolchain = Path(building.__file__).with_name("macos_rules.cmake")
    building.run(
        ["cmake", "-S", building.SOURCE, "-B", tmp_path, "-G", "Ninja", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"]
    )
    rules = (tmp_path / "build.ninja").read_text("utf-8")
    compiled = re.findall(r"^build \S+\.o: \w*_COMPILER\S* .*?(?=^build )", rules, re.MULTILINE | re.DOTALL)
    assert len(compiled) > 40
    assert all("-arch arm64 -arch x86_64" in rule for rule in compiled)
    assert all("-mmacosx-version-min=10.15" in rule for rule in compiled)
    assert any("drag_mac.mm" in rule for rule in compiled)
    signed = re.findall(r"codesign --force --sign - \S*/bin/(\S+)", rules)
    assert sorted(signed) == [
        "AceStepBridge.clap", "AceStepBridge.lv2/AceStepBridge.so", "AceStepBridge.vst3"
    ]  # fmt: skip
    for name in ("AceStepBridge.vst3", "AceStepBridge.clap"):
        told = plistlib.loads((tmp_path / "bin" / name / "Contents" / "Info.plist").read_bytes())
        assert told["CFBundleExecutable"] == "AceStepBridge"
        assert f"build bin/{name}/Contents/MacOS/AceStepBridge:" in rules
        assert (told["CFBundleShortVersionString"], told["LSMinimumSystemVersion"]) == (__version__, "10.15")
    package = (tmp_path / "CPackConfig.cmake").read_text("utf-8")
    assert releases.package_name("darwin", releases.UNIVERSAL).removesuffix(".zip") in package
