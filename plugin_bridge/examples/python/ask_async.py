"""A whole band at once, with the client for asyncio: its parts are asked for together.

python ask_async.py 92.5 4 "A minor"      tempo, bars, key; the daemon: acestep serve
"""

import asyncio
import sys

from plugin_bridge import AsyncBridge
from plugin_bridge.errors import BridgeError

PARTS = {"drums": "dusty boom bap drums", "bass": "upright bass", "keys": "electric piano chords"}


async def part(bridge: AsyncBridge, name: str, tempo: float, bars: float, key: str) -> None:
    job = await bridge.generate(PARTS[name], bpm=tempo, bars=bars, key=key, seed=7)
    (clip,) = await job.clips()
    print(name, clip.path, flush=True)


async def main(tempo: str = "92.5", bars: str = "4", key: str = "A minor") -> None:
    async with AsyncBridge() as bridge:
        await asyncio.gather(*(part(bridge, name, float(tempo), float(bars), key) for name in PARTS))


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except BridgeError as error:
        sys.exit(error.message)
