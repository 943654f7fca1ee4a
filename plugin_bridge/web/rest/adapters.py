"""`/v1/lora/*`: which adapters the tasks of this door use, and how strongly.

The daemon has adapters with each request; here they are switched on for all that come after, as ACE-Step's
clients expect. A request that names `adapters` itself is not touched by it.
"""

from typing import Any

from starlette.responses import Response

from plugin_bridge.errors import InvalidRequest, NotFound
from plugin_bridge.web.live import Feed
from plugin_bridge.web.rest.asked import Asked, number, switch, text
from plugin_bridge.web.rest.envelope import answer

NAMES = ("adapter_name", "lora_path", "lora_name", "name")


class Adapters:
    """The adapters in use, and the switch over all of them."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._scales: dict[str, float] = {}
        self._on = True

    @property
    def used(self) -> dict[str, float]:
        """Those of the next task, each with how strongly."""
        return dict(self._scales) if self._on else {}

    async def load(self, asked: Asked) -> Response:
        """Loads an adapter of the daemon's home, by its name or its path there, and uses it fully."""
        name = await self._known(text(asked.body.values, "lora_path", *NAMES, needed=True))
        await self._feed.bridge.load_adapter(name)
        self._scales.setdefault(name, 1.0)
        self._feed.tell({"kind": "models"})
        return self._told(f"{name} is used from now on")

    async def unload(self, asked: Asked) -> Response:
        """Uses one no longer, or none where none is named, and gives its memory back."""
        named = text(asked.body.values, *NAMES)
        for name in [self._used(await self._known(named))] if named else list(self._scales):
            del self._scales[name]
            try:
                await self._feed.bridge.unload_adapter(name)
            except NotFound:  # another checkpoint was loaded meanwhile: it is gone already
                continue
        self._feed.tell({"kind": "models"})
        return self._told(f"{named} is used no more" if named else "no adapter is used")

    async def toggle(self, asked: Asked) -> Response:
        """Switches all of them off or on."""
        on = switch(asked.body.values, "use_lora", "enabled")
        if on is None:
            raise InvalidRequest("use_lora is missing: expected true or false")
        self._on = on
        return self._told(f"adapters are {'on' if on else 'off'}")

    async def scale(self, asked: Asked) -> Response:
        """How strongly one is used, or all where none is named."""
        scale = number(asked.body.values, "scale", "lora_scale")
        if scale is None:
            raise InvalidRequest("scale is missing: expected a number, 1 for fully")
        named = text(asked.body.values, *NAMES)
        if not named and not self._scales:
            raise InvalidRequest("no adapter is used: load one first, by /v1/lora/load")
        for name in [self._used(await self._known(named))] if named else list(self._scales):
            self._scales[name] = scale
        return self._told(f"{named or 'every adapter'} is used at {scale:g}")

    async def status(self, _: Asked) -> Response:
        """Those in use, and those there are."""
        return self._told("", available=[one.name for one in await self._feed.bridge.adapters()])

    def _told(self, message: str, **more: Any) -> Response:
        scales = list(self._scales.values())
        return answer(
            {
                **({"message": message} if message else {}),
                "lora_loaded": bool(scales),
                "use_lora": bool(scales) and self._on,
                "lora_scale": scales[0] if scales else 1.0,
                "adapters": [{"name": name, "scale": scale} for name, scale in self._scales.items()],
                **more,
            }
        )

    def _used(self, name: str) -> str:
        if name not in self._scales:
            raise InvalidRequest(f"adapter {name!r:.60} is not in use: load it first, by /v1/lora/load")
        return name

    async def _known(self, named: str) -> str:
        """The adapter of that name or path. Raises NotFound."""
        there = await self._feed.bridge.adapters()
        for one in there:
            if named in (one.name, one.path):
                return one.name
        here = ", ".join(one.name for one in there)
        expected = f"expected one of {here}" if here else "there is none yet"
        raise NotFound(
            f"no adapter {named!r:.80} in the daemon's home: {expected}; `lora_studio import` takes a file in"
        )
