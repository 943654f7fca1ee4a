"""Writes the layouts for TouchOSC and Open Stage Control from one list of controls.

    python -m plugin_bridge.examples.layouts

A layout knows addresses and ranges; what a daemon takes is not checked here.
"""

import json
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent
TOUCHOSC = Path("touchosc/acestep.tosc")
OPEN_STAGE_CONTROL = Path("open_stage_control/acestep.json")
RECEIVES_ON = 9133  # TouchOSC's own port for answers, to be set in its connections
WIDTH, ROW, GAP = 600, 70, 10


@dataclass(frozen=True)
class Fader:
    """Sends a number of its range."""

    name: str
    address: str
    low: float
    high: float
    at: float


@dataclass(frozen=True)
class Button:
    """Sends one value, a text or a number, when it is pressed."""

    name: str
    address: str
    value: str | int = 1


CONTROLS: tuple[Fader | Button, ...] = (
    Button("boom bap drums", "/acestep/generate", "dusty boom bap drums, vinyl crackle"),
    Button("drum fill", "/acestep/generate", "drum fill, toms and snare"),
    Button("warm pad", "/acestep/generate", "warm analog pad"),
    Button("techno loop", "/acestep/generate", "driving techno loop"),
    Button("the same again", "/acestep/generate"),
    Button("cancel", "/acestep/cancel"),
    Fader("tempo", "/acestep/tempo", 60, 180, 92.5),
    Fader("bars", "/acestep/bars", 1, 8, 4),
    Fader("takes", "/acestep/takes", 1, 4, 1),
)
CONNECT = Button("connect", "/acestep/subscribe", RECEIVES_ON)  # has answers sent to TouchOSC


def open_stage_control() -> str:
    """The session as JSON; its buttons and faders send to this machine's daemon."""
    widgets: list[dict[str, object]] = []
    for row, control in enumerate(CONTROLS):
        place = {"left": GAP, "top": GAP + row * (ROW + GAP), "width": WIDTH, "height": ROW}
        sent = {"address": control.address, "target": "127.0.0.1:9127", "label": control.name}
        widget: dict[str, object] = {"id": control.name.replace(" ", "_"), **place, **sent}
        if isinstance(control, Fader):
            whole = float(control.at).is_integer()
            widget |= {
                "type": "fader",
                "horizontal": True,
                "range": {"min": control.low, "max": control.high},
                "steps": control.high - control.low if whole else False,
                "default": control.at,
                "decimals": 0 if whole else 1,
                "typeTags": "f",
            }
        else:
            kind = "s" if isinstance(control.value, str) else "i"
            widget |= {"type": "button", "mode": "tap", "on": control.value, "typeTags": kind}
        widgets.append(widget)
    foot = {"left": GAP, "width": WIDTH, "height": ROW, "top": GAP + len(CONTROLS) * (ROW + GAP)}
    prompt = {"id": "prompt", "type": "input", "address": "/acestep/generate", "target": "127.0.0.1:9127"}
    progress = {"id": "progress", "type": "text", "address": "/acestep/progress", "default": "nothing yet"}
    widgets.append({**prompt, "label": "a prompt of your own", "typeTags": "s", **foot})
    widgets.append({**progress, **foot, "top": foot["top"] + ROW + GAP})
    root = {"id": "root", "type": "root", "widgets": widgets, "tabs": []}
    session = {"createdWith": "Open Stage Control", "version": "1.25.0", "type": "session", "content": root}
    return json.dumps(session, indent=1) + "\n"


# TouchOSC hands every message that comes in to the layout's own script.
SCRIPT = """function onReceiveOSC(message, connections)
  if message[1] == '/acestep/progress' then
    self:findByName('progress', true).values.x = message[2][3].value
  end
end"""


def touchosc() -> bytes:
    """The layout as TouchOSC saves it: XML, compressed."""
    root = ElementTree.Element("lexml", version="3")
    rows = len(CONTROLS) + 2
    page = _node(root, "GROUP", "acestep", 0, rows * (ROW + GAP) + GAP)
    _property(page, "script", "s", SCRIPT)
    children = ElementTree.SubElement(page, "children")
    for row, control in enumerate((CONNECT, *CONTROLS)):
        kind = "FADER" if isinstance(control, Fader) else "BUTTON"
        node = _node(children, kind, control.name, GAP + row * (ROW + GAP), ROW)
        if isinstance(control, Fader):
            _property(node, "orientation", "i", "1")  # lies
            _value(node, "x", (control.at - control.low) / (control.high - control.low))
        _message(node, control)
    bar = _node(children, "FADER", "progress", GAP + (len(CONTROLS) + 1) * (ROW + GAP), ROW)
    _property(bar, "orientation", "i", "1")
    _property(bar, "interactive", "b", "0")
    return zlib.compress(ElementTree.tostring(root, "utf-8", xml_declaration=True), 9)


def _node(parent: ElementTree.Element, kind: str, name: str, top: int, height: int) -> ElementTree.Element:
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:acestep:bridge/{name}"))
    node = ElementTree.SubElement(parent, "node", ID=identity, type=kind)
    properties = ElementTree.SubElement(node, "properties")
    _property(node, "name", "s", name)
    frame = ElementTree.SubElement(properties, "property", type="r")
    ElementTree.SubElement(frame, "key").text = "frame"
    value = ElementTree.SubElement(frame, "value")
    left, width = (0, WIDTH + 2 * GAP) if kind == "GROUP" else (GAP, WIDTH)
    for key, number in zip("xywh", (left, top, width, height), strict=True):
        ElementTree.SubElement(value, key).text = str(number)
    return node


def _property(node: ElementTree.Element, key: str, kind: str, text: str) -> None:
    properties = node.find("properties")
    assert properties is not None
    one = ElementTree.SubElement(properties, "property", type=kind)
    ElementTree.SubElement(one, "key").text = key
    ElementTree.SubElement(one, "value").text = text


def _value(node: ElementTree.Element, key: str, at: float) -> None:
    one = ElementTree.SubElement(ElementTree.SubElement(node, "values"), "value")
    for name, text in (("key", key), ("locked", "0"), ("default", f"{at:.6g}"), ("defaultPull", "0")):
        ElementTree.SubElement(one, name).text = text


def _message(node: ElementTree.Element, control: Fader | Button) -> None:
    message = ElementTree.SubElement(ElementTree.SubElement(node, "messages"), "osc")
    flags = (("enabled", "1"), ("send", "1"), ("receive", "0"), ("feedback", "0"), ("connections", "00001"))
    for name, text in flags:
        ElementTree.SubElement(message, name).text = text
    trigger = ElementTree.SubElement(ElementTree.SubElement(message, "triggers"), "trigger")
    ElementTree.SubElement(trigger, "var").text = "x"
    ElementTree.SubElement(trigger, "con").text = "ANY" if isinstance(control, Fader) else "RISE"
    path = ElementTree.SubElement(message, "path")
    _partial(path, "CONSTANT", "STRING", control.address)
    arguments = ElementTree.SubElement(message, "arguments")
    if isinstance(control, Fader):
        _partial(arguments, "VALUE", "FLOAT", "x", control.low, control.high)
    else:
        kind = "STRING" if isinstance(control.value, str) else "INTEGER"
        _partial(arguments, "CONSTANT", kind, str(control.value))


def _partial(
    parent: ElementTree.Element, kind: str, conversion: str, value: str, low: float = 0, high: float = 1
) -> None:
    one = ElementTree.SubElement(parent, "partial")
    for name, text in (
        ("type", kind),
        ("conversion", conversion),
        ("value", value),
        ("scaleMin", f"{low:g}"),
        ("scaleMax", f"{high:g}"),
    ):
        ElementTree.SubElement(one, name).text = text


def write(folder: Path) -> None:
    """Both layouts, in their folders."""
    (folder / TOUCHOSC).parent.mkdir(exist_ok=True)
    (folder / TOUCHOSC).write_bytes(touchosc())
    (folder / OPEN_STAGE_CONTROL).parent.mkdir(exist_ok=True)
    (folder / OPEN_STAGE_CONTROL).write_text(open_stage_control(), encoding="utf-8")


if __name__ == "__main__":
    write(HERE)
