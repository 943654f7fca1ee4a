# ruff: noqa: E501 (tables read better in one line a row)
"""What each style is made of: tempo, drum patterns, harmony, instruments, and the words people use for it.

Patterns are one bar of sixteenths: `X` accent, `x` hit, `-` soft, `?` sometimes, `.` rest. Pure data.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """One style; `drums` maps a hit to alternative patterns, `roles` are stems with their probability."""

    name: str
    words: tuple[str, ...]
    bpm: tuple[float, float]
    kits: tuple[str, ...]
    drums: dict[str, tuple[str, ...]]
    roles: dict[str, float]
    bass: tuple[str, ...]  # how the bass moves
    comp: tuple[str, ...]  # how chords are struck
    chords: tuple[str, ...]  # instruments; "synth" is made in code
    leads: tuple[str, ...]
    basses: tuple[str, ...]
    pads: tuple[str, ...] = ("synth", "pad-fluid-089", "pad-fluid-088", "pad-fluid-050")
    arps: tuple[str, ...] = ("synth", "arp-fluid-045", "arp-fluid-046", "arp-fluid-108", "arp-fluid-024")
    minor: float = 0.65
    swing: tuple[float, float] = (0.0, 0.0)  # share of a sixteenth that every second one comes late
    sevenths: float = 0.2
    pump: float = 0.0  # how often the kick ducks the rest
    dirt: float = 0.1  # how often drive, crackle or bit reduction is used
    moods: tuple[str, ...] = ()


STYLES: tuple[Style, ...] = (
    Style(
        "house", ("house", "deep house", "club house", "four on the floor house", "dance", "house music"),
        (116, 130), ("synth", "kit-fluid-808", "kit-fluid-electronic", "sonic"),
        {"kick": ("X...X...X...X...",), "clap": ("....x.......x...", "....X.......X..-"),
         "closed": ("-.-.-.-.-.-.-.-.", "-?-x-?-x-?-x-?-x", "..-...-...-...-."), "open": ("..x...x...x...x.",),
         "shaker": ("--x---x---x---x-", "................")},
        {"drums": 0.95, "percussion": 0.4, "bass": 0.9, "chords": 0.75, "pad": 0.35, "lead": 0.25, "arp": 0.3},
        ("offbeat", "groove", "octaves"), ("offbeat", "stabs", "house"),
        ("synth", "chords-fluid-000", "chords-fluid-004", "chords-fluid-016", "chords-fluid-005"),
        ("synth", "lead-fluid-081", "lead-fluid-073", "lead-fluid-011"), ("synth", "bass-fluid-038", "bass-fluid-039"),
        pump=0.5, swing=(0.0, 0.15), sevenths=0.5, moods=("groovy", "uplifting", "warm", "dancefloor"),
    ),
    Style(
        "techno", ("techno", "warehouse techno", "minimal techno", "industrial techno", "hard techno", "rave"),
        (124, 145), ("synth", "kit-fluid-electronic", "sonic"),
        {"kick": ("X...X...X...X...", "X...X...X...X.-."), "clap": ("............x...", "................", "....x.......x..."),
         "closed": ("..x...x...x...x.", "-x-x-x-x-x-x-x-x", "xxxxxxxxxxxxxxxx"), "open": ("..x...x...x...x.", "................"),
         "rim": ("...?..?....?..?.", "..x..x..x..x..x."), "tom_low": ("......?.......x.", "................")},
        {"drums": 0.97, "percussion": 0.45, "bass": 0.85, "chords": 0.35, "pad": 0.35, "lead": 0.25, "arp": 0.5},
        ("rolling", "pulse", "offbeat"), ("stabs", "offbeat"), ("synth",), ("synth", "lead-fluid-081"),
        ("synth", "bass-fluid-039"), minor=0.9, pump=0.5, dirt=0.4, moods=("dark", "driving", "hypnotic", "relentless"),
    ),
    Style(
        "drum and bass", ("drum and bass", "dnb", "d&b", "drum & bass", "jungle", "liquid drum and bass", "breakbeat jungle"),
        (160, 180), ("kit-fluid-standard", "kit-fluid-room", "sonic", "synth"),
        {"kick": ("X.........X.....", "X.x.......X.....", "X.........x..x.."), "snare": ("....X.......X...", "....X..-.-..X..-", "....X..-.-..X.-."),
         "closed": ("x.x.x.x.x.x.x.x.", "x-x-x-x-x-x-x-x-"), "ride": ("................", "x...x...x...x...")},
        {"drums": 0.97, "percussion": 0.25, "bass": 0.95, "chords": 0.4, "pad": 0.6, "lead": 0.3, "arp": 0.3},
        ("long", "reese", "syncopated"), ("sustain", "stabs"), ("synth", "chords-fluid-004", "chords-fluid-000"),
        ("synth", "lead-fluid-011", "lead-fluid-073"), ("synth", "synth", "bass-fluid-038"), minor=0.85, sevenths=0.4, dirt=0.25,
        moods=("fast", "energetic", "rolling", "liquid"),
    ),
    Style(
        "boom bap", ("boom bap", "hip hop", "old school hip hop", "rap beat", "east coast hip hop", "dusty breakbeat", "90s hip hop"),
        (80, 100), ("kit-fluid-standard", "kit-fluid-room", "sonic", "kit-musescore-standard"),
        {"kick": ("X.....x...x.....", "X......x..x.....", "X..x......x..x.."), "snare": ("....X.......X...", "....X..-....X..."),
         "closed": ("x.x.x.x.x.x.x.x.", "x.x.x.xxx.x.x.x."), "open": ("................", "..............x.")},
        {"drums": 0.97, "percussion": 0.3, "bass": 0.9, "chords": 0.7, "pad": 0.2, "lead": 0.35, "arp": 0.15},
        ("groove", "root", "syncopated"), ("stabs", "lazy", "sustain"),
        ("chords-fluid-004", "chords-fluid-000", "chords-fluid-026", "chords-musescore-004", "chords-fluid-016"),
        ("lead-fluid-011", "lead-fluid-073", "lead-fluid-056", "lead-fluid-065"), ("bass-fluid-032", "bass-fluid-033", "bass-musescore-033", "bass-fluid-034"),
        swing=(0.15, 0.35), sevenths=0.6, dirt=0.55, minor=0.8, moods=("dusty", "head nodding", "gritty", "laid back"),
    ),
    Style(
        "lo-fi", ("lo-fi", "lofi", "lofi hip hop", "chillhop", "study beats", "chill beat", "mellow lofi"),
        (66, 90), ("kit-fluid-standard", "kit-fluid-brush", "sonic", "kit-fluid-808"),
        {"kick": ("x.....-...x.....", "x.........x....."), "snare": ("....x.......x...",), "rim": ("................", "....-.......-..-"),
         "closed": ("-.-.-.-.-.-.-.-.", "-.-.-.---.-.-.-.")},
        {"drums": 0.9, "percussion": 0.2, "bass": 0.85, "chords": 0.9, "pad": 0.3, "lead": 0.4, "arp": 0.2},
        ("root", "lazy"), ("lazy", "sustain", "broken"),
        ("chords-fluid-004", "chords-musescore-004", "chords-fluid-024", "chords-fluid-000", "chords-fluid-026"),
        ("lead-fluid-011", "lead-fluid-073", "lead-fluid-012", "lead-fluid-026"), ("bass-fluid-032", "bass-fluid-033", "synth"),
        swing=(0.15, 0.35), sevenths=0.9, dirt=0.8, minor=0.5, moods=("mellow", "relaxed", "nostalgic", "cozy", "sleepy"),
    ),
    Style(
        "rock", ("rock", "indie rock", "hard rock", "garage rock", "alternative rock", "punk rock"),
        (96, 165), ("kit-fluid-standard", "kit-fluid-power", "kit-fluid-room", "kit-musescore-standard"),
        {"kick": ("X.......x.x.....", "X.....x.x.......", "X.x.....x.x....."), "snare": ("....X.......X...",),
         "closed": ("x.x.x.x.x.x.x.x.", "X.x.X.x.X.x.X.x."), "crash": ("................",), "ride": ("................", "x.x.x.x.x.x.x.x.")},
        {"drums": 0.95, "percussion": 0.1, "bass": 0.9, "chords": 0.95, "pad": 0.1, "lead": 0.35, "arp": 0.08},
        ("eighths", "root", "groove"), ("eighths", "power", "strum"), ("chords-fluid-030", "chords-fluid-029", "chords-fluid-027", "chords-fluid-025"),
        ("lead-fluid-026", "lead-fluid-081", "lead-musescore-000"), ("bass-fluid-034", "bass-fluid-033", "bass-musescore-033"),
        minor=0.5, dirt=0.3, moods=("loud", "raw", "powerful", "live band"),
    ),
    Style(
        "funk", ("funk", "funky", "disco funk", "soul funk", "nu funk", "groove"),
        (94, 120), ("kit-fluid-standard", "kit-fluid-room", "kit-musescore-standard"),
        {"kick": ("X..x..x...x.....", "X.x....x..x..x.."), "snare": ("....X..-.-..X..-", "....X.......X..-"), "closed": ("x-x-x-x-x-x-x-x-", "x.xxx.xxx.xxx.xx"),
         "open": ("................", "......x.........")},
        {"drums": 0.95, "percussion": 0.5, "bass": 0.97, "chords": 0.9, "pad": 0.1, "lead": 0.35, "arp": 0.05},
        ("funk", "syncopated", "octaves"), ("funk", "stabs"), ("chords-fluid-007", "chords-fluid-028", "chords-fluid-016", "chords-fluid-061", "chords-fluid-027"),
        ("lead-fluid-065", "lead-fluid-056", "lead-fluid-011"), ("bass-fluid-036", "bass-fluid-033", "bass-fluid-034"),
        swing=(0.0, 0.2), sevenths=0.8, minor=0.6, moods=("tight", "funky", "groovy", "playful"),
    ),
    Style(
        "ambient", ("ambient", "atmospheric", "drone", "soundscape", "cinematic ambient", "meditation", "ethereal"),
        (60, 100), ("synth", "kit-fluid-brush"),
        {"kick": ("x...............", "................"), "shaker": ("................", "-...-...-...-..."), "tom_low": ("........-.......", "................")},
        {"drums": 0.12, "percussion": 0.15, "bass": 0.45, "chords": 0.45, "pad": 0.98, "lead": 0.35, "arp": 0.5},
        ("long",), ("sustain", "broken"), ("synth", "chords-fluid-000", "chords-fluid-004"),
        ("lead-fluid-073", "lead-fluid-011", "synth", "lead-fluid-040"), ("synth", "bass-fluid-032"),
        ("synth", "pad-fluid-089", "pad-fluid-088", "pad-fluid-094", "pad-fluid-095", "pad-fluid-052", "pad-musescore-049", "pad-musescore-089"),
        sevenths=0.5, minor=0.55, dirt=0.15, moods=("calm", "floating", "spacious", "dreamy", "peaceful"),
    ),
    Style(
        "trap", ("trap", "drill", "trap beat", "808 trap", "dark trap", "southern hip hop"),
        (120, 160), ("kit-fluid-808", "synth", "sonic"),
        {"kick": ("X.....x...X.....", "X......x..x..x.."), "clap": ("........X.......",), "closed": ("x.x.x.x.x.x.x.x.", "x.x.xxx.x.x.x-x-", "xxx.x.x.xxxxx.x."),
         "open": ("................", "......x........."), "rim": ("................", "...x......x.....")},
        {"drums": 0.97, "percussion": 0.2, "bass": 0.95, "chords": 0.4, "pad": 0.4, "lead": 0.45, "arp": 0.4},
        ("808", "long"), ("sustain", "broken"), ("chords-fluid-000", "synth", "chords-fluid-004"), ("synth", "lead-fluid-073", "lead-fluid-011", "lead-fluid-080"),
        ("synth",), arps=("arp-fluid-010", "arp-musescore-009", "synth", "arp-fluid-108"), minor=0.95, dirt=0.3, moods=("dark", "menacing", "hard", "moody"),
    ),
    Style(
        "synthwave", ("synthwave", "retrowave", "80s synth", "outrun", "retro electro", "synth pop"),
        (84, 124), ("kit-fluid-electronic", "synth", "kit-fluid-power"),
        {"kick": ("X...X...X...X...", "X.......X......."), "snare": ("....X.......X...",), "closed": ("x.x.x.x.x.x.x.x.", "xxxxxxxxxxxxxxxx"), "tom_mid": ("................", "............x.x.")},
        {"drums": 0.93, "percussion": 0.1, "bass": 0.95, "chords": 0.5, "pad": 0.7, "lead": 0.45, "arp": 0.7},
        ("rolling", "eighths", "octaves"), ("sustain", "stabs"), ("synth", "chords-fluid-005"), ("synth", "lead-fluid-081", "lead-fluid-080"),
        ("synth", "bass-fluid-038"), ("synth", "pad-fluid-050", "pad-fluid-090", "pad-fluid-095"), ("synth",), minor=0.75, pump=0.2, moods=("nostalgic", "neon", "retro", "epic"),
    ),
    Style(
        "reggae", ("reggae", "dub", "roots reggae", "dub reggae", "ska", "island"),
        (68, 94), ("kit-fluid-standard", "kit-fluid-room", "kit-fluid-brush"),
        {"kick": ("........X.......", "X.......X.......", "X...X...X...X..."), "rim": ("........X.......", "....x.......x..."), "closed": ("x.x.x.x.x.x.x.x.", "..x...x...x...x.")},
        {"drums": 0.93, "percussion": 0.4, "bass": 0.97, "chords": 0.97, "pad": 0.1, "lead": 0.3, "arp": 0.05},
        ("dub", "groove"), ("skank",), ("chords-fluid-016", "chords-fluid-027", "chords-fluid-000", "chords-fluid-028"), ("lead-fluid-056", "lead-fluid-073", "lead-fluid-065"),
        ("bass-fluid-033", "synth", "bass-fluid-034"), swing=(0.0, 0.25), minor=0.6, moods=("sunny", "laid back", "heavy", "easygoing"),
    ),
    Style(
        "jazz", ("jazz", "swing", "bebop", "smooth jazz", "cool jazz", "jazz trio", "swing jazz"),
        (90, 180), ("kit-fluid-brush", "kit-fluid-standard", "kit-musescore-standard"),
        {"kick": ("-...-...-...-...", "x.........-....."), "rim": ("................", "....-.......-..."), "ride": ("x...x..xx...x..x", "x..xx..xx..xx..x"), "pedal": ("....x.......x...",)},
        {"drums": 0.9, "percussion": 0.05, "bass": 0.95, "chords": 0.9, "pad": 0.05, "lead": 0.6, "arp": 0.03},
        ("walking",), ("jazz", "lazy"), ("chords-fluid-000", "chords-fluid-026", "chords-fluid-001", "chords-musescore-000"),
        ("lead-fluid-065", "lead-fluid-056", "lead-fluid-011", "lead-musescore-071", "lead-fluid-073"), ("bass-fluid-032", "bass-musescore-033"),
        swing=(0.5, 0.66), sevenths=1.0, minor=0.45, moods=("smoky", "swinging", "elegant", "late night"),
    ),
)  # fmt: skip

STYLE_BY_NAME = {style.name: style for style in STYLES}

# scale degrees, one per bar (or per half bar where there are more than bars); the second list is for evaluation only
MINOR_PROGRESSIONS = (
    (0,),
    (0, 5),
    (0, 3),
    (0, 6),
    (0, 5, 2, 6),
    (0, 3, 4, 0),
    (0, 6, 5, 6),
    (0, 2, 3, 5),
    (0, 0, 5, 6),
    (0, 4, 5, 3),
    (5, 6, 0, 0),
    (0, 3, 6, 2),
    (0, 5, 3, 4),
)
MAJOR_PROGRESSIONS = (
    (0,),
    (0, 3),
    (0, 4),
    (0, 4, 5, 3),
    (0, 5, 3, 4),
    (0, 3, 4, 3),
    (5, 3, 0, 4),
    (0, 3, 0, 4),
    (1, 4, 0, 0),
    (0, 5, 1, 4),
    (0, 2, 3, 4),
    (3, 4, 2, 5),
)
HELD_MINOR = ((0, 6, 3, 5), (0, 2, 6, 5), (3, 0, 5, 4), (0, 5, 6, 4))
HELD_MAJOR = ((0, 2, 5, 3), (3, 0, 4, 5), (0, 1, 3, 4), (5, 1, 4, 0))

# drums of one, harmony of the other; the held ones are never composed for training
MIXTURES = (
    ("boom bap", "jazz"),
    ("house", "funk"),
    ("trap", "ambient"),
    ("techno", "synthwave"),
    ("drum and bass", "ambient"),
    ("lo-fi", "jazz"),
    ("reggae", "house"),
    ("rock", "synthwave"),
)
HELD_MIXTURES = (("boom bap", "synthwave"), ("house", "jazz"), ("drum and bass", "funk"), ("trap", "lo-fi"))

# bars of other meters, twelve sixteenths: every style borrows these
WALTZ: dict[str, tuple[str, ...]] = {
    "kick": ("X...........", "X.......-..."),
    "snare": ("....x...x...", "....-...x..."),
    "closed": ("x.x.x.x.x.x.", "x...x...x..."),
}
COMPOUND = {
    "kick": ("X...........", "X.........x.", "X....x......"),
    "snare": ("......X.....",),
    "closed": ("x.x.x.x.x.x.", "X.x.x.X.x.x."),
    "open": ("............", "..........x."),
}

# percussion plays its own hits
PERCUSSION = {
    "shaker": ("x-x-x-x-x-x-x-x-", "-.x.-.x.-.x.-.x."), "tambourine": ("..x...x...x...x.", "....x.......x..."),
    "conga_high": ("..x...xx..x...x.", "x..x..x.x..x..x."), "conga_low": ("....x.......x.xx", "..........xx...."),
    "bongo_high": ("x.xxx.xxx.xxx.xx", "x.x-x.x-x.x-x.x-"), "bongo_low": ("..x...x...x...x.", "......x.......x."),
    "cowbell": ("x...x...x...x...", "x..x..x...x.x..."), "clave": ("x..x..x...x.x...", "..x.x...x..x..x."),
    "agogo": ("x.x..x.x..x.x..x", "x..x..x..x..x..."), "rim": ("...x..x....x..x.", "x..x..x..x..x..x"),
}  # fmt: skip
