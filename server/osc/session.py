"""The settings that OSC senders have made so far, and the requests that come of them.

A session keeps fields of `GenerateRequest`, which does the validation.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from acestep.errors import InvalidRequest
from acestep.request import SETTINGS, AudioRange, GenerateRequest
from acestep.settings import Region
from server.osc.packets import Value
from server.osc.spelling import NAMED, Fields, describe, read

MAX_SESSIONS = 256
MAX_NAME_CHARS = 80
Address = tuple[str, int]  # host, port


@dataclass
class Session:
    """The settings that one sender, or all senders of a host together, have made so far."""

    client: str  # for the queue's fair turns
    name: str = ""
    fields: Fields = field(default_factory=dict)
    last_prompt: str = ""

    def change(self, fields: Fields) -> None:
        """Makes the settings; each is checked by itself, so that their order does not matter."""
        changed = merged(self.fields, fields)
        check({name: changed[name] for name in changed if changed[name] is not self.fields.get(name)})
        self.fields = changed

    def request(self, prompt: str, named: Sequence[Value] = ()) -> tuple[GenerateRequest, str]:
        """The request made of prompt, settings and the name-value pairs for this job; and its folder."""
        if len(named) % 2:
            raise InvalidRequest(
                f"/acestep/generate has {len(named)} values after the prompt: expected pairs"
            )
        here: Fields = {}
        together: list[AudioRange] = []
        for name, value in zip(named[::2], named[1::2], strict=True):
            if not isinstance(name, str) or name not in NAMED:
                raise InvalidRequest(
                    f"/acestep/generate: {describe(name)} is not a setting: use one of {', '.join(NAMED)}"
                )
            ((field_name, read_here),) = read(f"/acestep/generate {name}", NAMED[name], [value]).items()
            if field_name == "context+":
                together.append(read_here)
            elif field_name.startswith("context+."):  # an end of the file before
                if not together:
                    raise InvalidRequest(f"/acestep/generate: {name} without with: name the file before it")
                together[-1] = replace(together[-1], **{field_name.split(".")[1]: read_here})
            else:
                here = merged(here, {field_name: read_here})
        fields = merged(self.fields, _whole_ranges(here, self.fields))
        for one in together:
            fields = merged(fields, {"context+": one})
        folder = fields.pop("folder", "")
        request = GenerateRequest(prompt=prompt, **fields)
        self.last_prompt = prompt
        return request, folder

    def to_dict(self, longest: int | None = None) -> dict[str, Any]:
        """For /acestep/state: only what was set, as plain values; texts are cut after `longest` letters."""
        return {name: _plain(value, longest) for name, value in self.fields.items()}


def merged(old: Fields, new: Fields) -> Fields:
    """`old` with `new` over it; adapters are added up by name, and the name "" clears them; "context+" is one
    more file that sounds together with the context.

    A tempo takes back an older tempo map, which would otherwise have the last word.
    """
    result = {**old, **new}
    if new.get("bpm") is not None and "tempo_map" not in new:
        result.pop("tempo_map", None)
    if "adapter" in result:
        name, scale = result.pop("adapter")
        others = [item for item in old.get("adapters", ()) if item[0] != name]
        result["adapters"] = (*others, (name, scale)) if name else ()
    if "context+" in result:
        one = result.pop("context+")
        first = result.get("context")
        result["context"] = one if first is None else _joined(first, one)
    return result


def _joined(first: AudioRange | str, one: AudioRange) -> AudioRange:
    """A context and one more file that sounds together with it."""
    whole = first if isinstance(first, AudioRange) else AudioRange(first)
    return replace(whole, plus=(*whole.plus, one))


def _whole_ranges(here: Fields, session: Fields) -> Fields:
    """Puts `reference.start_s` and the like into the range they belong to, this job's or the session's."""
    fields = {name: value for name, value in here.items() if "." not in name}
    for whole, setting in SETTINGS.items():
        ends = {name.split(".")[1]: at for name, at in here.items() if name.startswith(whole + ".")}
        if not ends:
            continue
        stretch = fields.get(whole, session.get(whole))
        if isinstance(setting.kind, Region):
            start_s, end_s = stretch or (0.0, 0.0)
            fields[whole] = (ends.get("start_s", start_s), ends.get("end_s", end_s))
        elif stretch is None:
            raise InvalidRequest(f"{whole}_start or {whole}_end without {whole}: name the file as well")
        else:
            known = vars(stretch) if isinstance(stretch, AudioRange) else {"path": stretch}
            fields[whole] = AudioRange(**{**known, **ends})
    return fields


def check(fields: Fields) -> None:
    """Raises InvalidRequest for a value that can be in no request, whatever the other settings are."""
    for name, value in fields.items():
        if name in SETTINGS:
            SETTINGS[name].read(value)


def _plain(value: object, longest: int | None) -> Any:
    if isinstance(value, AudioRange):
        return value.to_dict()
    if isinstance(value, tuple | list):
        return [_plain(item, longest) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:longest]


class Sessions:
    """The sessions of all addresses: one shared per host, and those that asked for their own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._sessions: OrderedDict[Address | str, Session] = OrderedDict()

    def of(self, address: Address) -> Session:
        """The address's own session, or the one its host shares."""
        with self._lock:
            if address in self._sessions:
                self._sessions.move_to_end(address)
                return self._sessions[address]
            return self.shared(address[0])

    def shared(self, host: str) -> Session:
        """The session that all senders of a host share unless they ask for their own."""
        return self._get(host, f"osc:{host}")

    def name(self, address: Address, name: str) -> Session:
        """Gives the address a session of its own, or renames it; `""` takes it away."""
        if len(name) > MAX_NAME_CHARS:
            raise InvalidRequest(
                f"session name has {len(name)} characters: expected at most {MAX_NAME_CHARS}"
            )
        if not name:
            with self._lock:
                self._sessions.pop(address, None)
            return self.of(address)
        session = self._get(address, f"osc:{address[0]}:{address[1]}")
        session.name = name
        session.client = f"{name} ({address[0]}:{address[1]})"
        return session

    def _get(self, owner: Address | str, client: str) -> Session:
        with self._lock:
            session = self._sessions.setdefault(owner, Session(client))
            self._sessions.move_to_end(owner)
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return session
