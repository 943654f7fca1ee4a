"""The LICENSE.txt of a pack: what its clips were made with, and who says what of their use."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acestep.clips.clip import Clip
    from acestep.packs.manifest import Pack


def licence(pack: "Pack", clips: Mapping[str, "Clip"]) -> str:
    """Plain text. `clips` are those of the pack by their files there."""
    lines = [
        f"{pack.title}",
        f"packed by {pack.made_by}, {pack.created}",
        "",
        "HOW IT WAS MADE",
        "Every clip was made by a model from the words below. The sidecar beside it (NAME.wav.json)",
        "holds all settings, the seed and hashes of what was loaded, by which it can be made again.",
    ]
    for file, clip in clips.items():
        made = clip.sidecar.get("checkpoint")
        model = made.get("name") if isinstance(made, Mapping) else None
        lines += ["", file, f"  words    {clip.prompt}", f"  model    {model or clip.cascade or 'unknown'}"]
        lines.append(f"  seed     {clip.seed}")
        if clip.adapters:
            lines.append("  adapters " + ", ".join(f"{name} at {scale:g}" for name, scale in clip.adapters))
        lines += [f"  {what}" for what in sources(clip)]
    if pack.mix and pack.mixed_here:
        lines += ["", pack.mix, f"  the sum of the stems, turned by {pack.mix_gain_db:g} dB"]
    if pack.kit:
        lines += [
            "",
            "kit/",
            "  single hits that were cut out of the stems; kit.json says where each comes from",
        ]
    lines += [
        "",
        "LICENCE",
        "acestep-bridge, the program, is under the MIT licence. That licence is the program's: it says",
        "nothing of what is made with it, and its authors claim no rights in the sounds of this pack.",
        "What a model's licence asks of those who use its results stands with that model; the weights of",
        "nano, which comes with the program, are under the MIT licence too. Audio that was given as a",
        "reference or context has the rights it had before. Who packed this can add terms here.",
        "",
    ]
    return "\n".join(lines)


def sources(clip: "Clip") -> list[str]:
    """The audio that was given to make a clip, as lines: `reference groove.wav`."""
    request = clip.sidecar.get("request")
    found = []
    for what in ("reference", "context"):
        value = request.get(what) if isinstance(request, Mapping) else None
        for one in value if isinstance(value, list) else [value]:
            path = one.get("path") if isinstance(one, Mapping) else None
            if isinstance(path, str):
                found.append(f"{what:8} {path.replace(chr(92), '/').rpartition('/')[2]}")
    return found
