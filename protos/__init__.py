"""The wire schema (`acestep/v1/acestep.proto`) and the modules generated from it with `make protos`.

`WIRE_VERSION` changes only when a bridge must change with the daemon; each refuses one it does not speak.
"""

WIRE_VERSION = "1"


def speaks_ours(wire_version: str) -> bool:
    """Whether the other side understands us: the part of its wire version before the first dot is the same.

    The scripts for Live and REAPER and the plugin, which cannot import this, compare alike; a test holds them
    to it.
    """
    return wire_version.split(".")[0] == WIRE_VERSION.split(".")[0]


# A secret that each daemon makes anew in its home, for its own user only. A caller on the same machine that
# shows it in `Generate` has that user's rights already, so it may name any file and folder.
OWNER_FILE = "owner"
OWNER_KEY = "acestep-owner"

# Endings of audio files that can be uploaded; a client refuses others before it sends anything.
AUDIO_ENDINGS = (".wav", ".aif", ".aiff", ".flac", ".mp3", ".ogg", ".opus", ".caf", ".w64", ".rf64")
