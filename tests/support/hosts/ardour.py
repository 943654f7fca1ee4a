"""Ardour 7 without its window: sessions made and played by Lua, looked into and changed as the XML they are.

Knows nothing of what the tests check.
"""

import base64
import re
import shutil
import struct
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.support.hosts import building
from tests.support.hosts.sound import read_wav

TICKS_PER_S = 282_240_000  # Ardour's "superclock"
RATE_HZ = 48_000
EXPORTS = 3
PLUGIN_NAME = "ACE-Step Bridge"
STATE_BEGIN, STATE_END = b"project\0", b"\0__dpf_state_end__"

WINDOW_SETTINGS = """<?xml version="1.0" encoding="UTF-8"?>
<Ardour>
  <Config>
    <Option name="hide-dummy-backend" value="0"/>
    <Option name="try-autostart-engine" value="1"/>
  </Config>
  <Extra>
    <AudioMIDISetup>
      <EngineStates>
        <State backend="None (Dummy)" driver="" device="Silence" input-device="" output-device=""
          sample-rate="48000" buffer-size="1024" n-periods="0" input-latency="0" output-latency="0"
          input-channels="0" output-channels="0" active="1" use-buffered-io="0"
          midi-option="1 in, 1 out, Silence" lru="1"><MIDIDevices/></State>
      </EngineStates>
      <Autostart active="1"/>
    </AudioMIDISetup>
  </Extra>
</Ardour>
"""


class Ardour:
    """An Ardour with a home of its own under `folder`, with the plugin installed and scanned."""

    def __init__(self, folder: Path, vst3: Path, **environment: str):
        building.need("/usr/lib/ardour7/luasession", "ardour7-export")
        self.home = folder / "home"
        self.session = folder / "ses"
        libraries = "/usr/lib/ardour7"
        self.environment = {
            "HOME": str(self.home),
            "LD_LIBRARY_PATH": libraries,
            "ARDOUR_DATA_PATH": "/usr/share/ardour7",
            "ARDOUR_CONFIG_PATH": "/etc/ardour7",
            "ARDOUR_DLL_PATH": libraries,
            "VAMP_PATH": f"{libraries}/vamp",
            "SES": str(self.session),
            **environment,
        }
        bundle = self.home / ".vst3" / vst3.name
        shutil.copytree(vst3, bundle)
        time.sleep(2)  # Ardour ignores a plugin scanned in the second it was copied
        building.run([f"{libraries}/ardour-vst3-scanner", "-q", "-f", bundle], 60, **self.environment)

    def window_settings(self) -> None:
        """So that Ardour's window opens without asking anything, on its dummy engine."""
        folder = self.home / ".config" / "ardour7"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".a7").touch()
        (folder / "config").write_text(WINDOW_SETTINGS)

    def new_session(self, bpm: float, over: int, under: int) -> str:
        """A session with one track, T1, that has the plugin."""
        return self._lua("ardour_new.lua", BPM=str(bpm), OVER=str(over), UNDER=str(under))

    def play(self, press: str, stop: Path, limit_s: float) -> str:
        """Plays from the start (unless `press` is empty) and saves once `stop` exists."""
        return self._lua("ardour_play.lua", limit_s + 120, PRESS=press, STOP=str(stop), LIMIT=str(limit_s))

    def _lua(self, script: str, limit_s: float = 120, **environment: str) -> str:
        path = Path(__file__).parent / script
        command = ["/usr/lib/ardour7/luasession", path]
        return building.run(command, limit_s, **self.environment, **environment).stdout

    @property
    def file(self) -> Path:
        return self.session / "ses.ardour"

    def plugin_state(self) -> str:
        """The plugin's own state text, out of the VST3 preset in the session."""
        preset = base64.b64decode(_chunk(self.file.read_text())[1])
        return preset[preset.index(STATE_BEGIN) + len(STATE_BEGIN) : preset.index(STATE_END)].decode()

    def set_plugin_state(self, text: str) -> None:
        """Puts a state text into the session, as a saved song would have it."""
        document = self.file.read_text()
        whole, chunk = _chunk(document)
        preset = base64.b64decode(chunk)
        begin = preset.index(STATE_BEGIN) + len(STATE_BEGIN)
        data = (
            preset[48:begin] + text.encode() + preset[preset.index(STATE_END) : preset.index(b"List", begin)]
        )
        listed = b"List" + struct.pack("<I", 1) + b"Comp" + struct.pack("<qq", 48, len(data))
        made = preset[:40] + struct.pack("<q", 48 + len(data)) + data + listed
        encoded = base64.b64encode(made).decode()
        self.file.write_text(document.replace(whole, f"<chunk>{encoded}</chunk>"))

    def add_audio(self, track: str, wav: Path, at_s: float) -> None:
        """Puts a WAV on a track of the closed session (7.3's Lua cannot import)."""
        tree = ET.parse(self.file)
        _SessionXml(tree.getroot(), self.session).place(track, wav, at_s)
        tree.write(self.file, encoding="UTF-8", xml_declaration=True)

    def export(self, to: Path) -> None:
        """Renders the session's master to a float WAV.

        The exporter itself is ended by a signal in about one of five runs ("double free"): whether by Ardour
        or by what it hosts is not known. Such a run is told and done again, three times at most.
        """
        command = ["ardour7-export", "-b", "float", "-o", to, self.session, "ses"]
        for _ in range(EXPORTS - 1):
            done = building.run(command, 180, may_crash=True, **self.environment)
            if done.returncode >= 0:
                return
            print(f"ardour7-export was ended by signal {-done.returncode}", file=sys.stderr)
        building.run(command, 180, **self.environment)


def _chunk(document: str) -> tuple[str, str]:
    found = re.search(r"<chunk>([^<]*)</chunk>", document)
    assert found, "the session has no VST3 state"
    return found[0], found[1]


class _SessionXml:
    def __init__(self, root: ET.Element, session: Path):
        self.root = root
        self.session = session
        self.next_id = max(int(root.get("id-counter", "0")), 100_000)

    def _id(self) -> str:
        self.next_id += 1
        return str(self.next_id)

    def _find(self, path: str) -> ET.Element:
        found = self.root.find(path)
        assert found is not None, path
        return found

    def place(self, track: str, wav: Path, at_s: float) -> None:
        audio, rate_hz = read_wav(wav)
        assert rate_hz == RATE_HZ
        channels, samples = audio.shape
        folder = next((self.session / "interchange").iterdir()) / "audiofiles"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(wav, folder / wav.name)
        sources = [self._source(wav, channel) for channel in range(channels)]
        self._region(self._find("Regions"), wav.name, sources, samples, None)
        playlist = next(item for item in self._find("Playlists") if item.get("name") == track)
        self._region(playlist, wav.name, sources, samples, at_s)
        self._extend(at_s + samples / rate_hz + 1.0)
        self.root.set("id-counter", str(self.next_id + 1))

    def _source(self, wav: Path, channel: int) -> str:
        made = self._id()
        attributes = {"name": wav.name, "type": "audio", "flags": "", "id": made, "channel": str(channel),
                      "origin": str(wav), "gain": "1", "natural-position": "a0", "take-id": "",
                      "timestamp": "0", "captured-for": ""}  # fmt: skip
        ET.SubElement(self._find("Sources"), "Source", attributes)
        return made

    def _region(
        self, parent: ET.Element, name: str, sources: list[str], samples: int, at_s: float | None
    ) -> None:
        whole = at_s is None
        position = round((at_s or 0.0) * TICKS_PER_S)
        length = f"a{samples * TICKS_PER_S // RATE_HZ}"
        off = ("muted", "locked", "hidden", "video-locked", "external", "sync-marked", "left-of-split",
               "right-of-split", "position-locked", "envelope-active", "default-fade-in", "default-fade-out",
               "fade-in-active", "fade-out-active", "layering-index")  # fmt: skip
        on = ("opaque", "stretch", "shift", "import", "valid-transients", "scale-amplitude")
        attributes = {
            **dict.fromkeys(off, "0"),
            **dict.fromkeys(on, "1"),
            "name": Path(name).stem + ("" if whole else ".1"),
            "automatic": "1" if whole else "0",
            "whole-file": "1" if whole else "0",
            "start": "a0",
            "length": f"{length}@a{position}",
            "contents": "0",
            "type": "audio",
            "id": self._id(),
            "channels": str(len(sources)),
            "sync-position": "a0",
            "ancestral-start": "a0",
            "ancestral-length": "a0@a0",
            "tags": "",
            "first-edit": "nothing",
        }
        for channel, source in enumerate(sources):
            attributes[f"source-{channel}"] = attributes[f"master-source-{channel}"] = source
        ET.SubElement(parent, "Region", attributes)

    def _extend(self, end_s: float) -> None:
        locations = self._find("Locations")
        for location in locations:
            if "IsSessionRange" in location.get("flags", ""):
                locations.remove(location)
        end = f"a{round(end_s * TICKS_PER_S)}"
        attributes = {
            "id": self._id(),
            "name": "session",
            "start": "a0",
            "end": end,
            "flags": "IsSessionRange",
            "locked": "0",
        }
        ET.SubElement(locations, "Location", attributes)
