"""Asks for clips and shows progress, with the synchronous client.

python ask.py "dusty boom bap drums" 92.5 4      prompt, tempo, bars; the daemon: acestep serve
"""

import sys

from plugin_bridge import Bridge
from plugin_bridge.errors import BridgeError
from plugin_bridge.words import ClipReady, Progress


def main(prompt: str = "dusty boom bap drums", tempo: str = "92.5", bars: str = "4") -> None:
    with Bridge() as bridge:
        for event in bridge.generate(prompt, bpm=float(tempo), bars=float(bars), takes=2):
            if isinstance(event, Progress):
                print(f"\r{event.stage:8} {event.fraction:4.0%}", end="", file=sys.stderr)
            elif isinstance(event, ClipReady):
                print(event.clip.path)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BridgeError as error:
        sys.exit(error.message)
