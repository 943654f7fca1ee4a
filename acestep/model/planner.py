"""The planner: ACE-Step's 5 Hz language model, which writes a fuller caption, an open key and audio codes.

It writes lines (bpm, caption, duration, keyscale, language, timesignature) between <think> and </think>, then
one code for every 200 ms. What the request fixes is written for it, so it is never overwritten; what is open
is chosen among the words that ACE-Step was trained with. Prompt and order of lines are those of its training.
Its own guidance is not used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acestep.checkpoints.fingerprint import fingerprint
from acestep.checkpoints.weights import BROKEN_FILES
from acestep.console.command import expanded
from acestep.errors import CheckpointError, NotFound
from acestep.home import home
from acestep.model.conditions import SIGNATURES
from acestep.model.loading import ONLY_DATA
from acestep.music.grid import Grid
from acestep.music.key import PITCH_NAMES, Key
from acestep.request import GenerateRequest

CODES_HZ = 5
CODE = re.compile(r"<\|audio_code_(\d+)\|>")
BPM_RANGE = (30, 300)  # the whole numbers it knows, as do the next two
DURATION_RANGE_S = (10, 600)
KEYS = tuple(f"{name} {mode}" for name in PITCH_NAMES for mode in ("major", "minor"))
INSTRUCTION = "Generate audio semantic tokens based on the given conditions:"
MAX_CAPTION_TOKENS = 160
CAPTION_ENDS = re.compile(r"\n(?! )|<")  # a caption goes on in indented lines only
TEMPERATURE = 0.85  # of the codes, as ACE-Step draws them; words are the likeliest ones


@dataclass(frozen=True)
class Blueprint:
    """What was planned: a caption, the key to name in the prompt, and audio codes (5 a second)."""

    caption: str
    key: Key | None
    codes: tuple[int, ...]


class Planner:
    """A causal language model with ACE-Step's audio codes in its vocabulary, and its tokenizer."""

    def __init__(self, name: str, model: Any, tokenizer: Any) -> None:
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.files: dict[str, str] = {}  # hashes of what was loaded
        found = {int(m[1]): id for token, id in tokenizer.get_vocab().items() if (m := CODE.fullmatch(token))}
        if sorted(found) != list(range(len(found))) or not found:
            raise CheckpointError(f"planner {name} has no audio codes 0, 1, 2 … in its vocabulary")
        self.code_ids = torch.tensor([found[code] for code in range(len(found))])
        self.wordless_ids = set(tokenizer.all_special_ids) | set(found.values())

    @classmethod
    def load(cls, name_or_path: str | Path, device: torch.device, of: Path | None = None) -> Planner:
        """By its name in `planners` of the home `of` (the user's), or a folder in transformers' layout
        (safetensors only)."""
        folder = (of or home()) / "planners" / str(name_or_path)
        folder = folder if folder.is_dir() else expanded(name_or_path)
        if not (folder / "config.json").is_file():
            raise NotFound(f"no planner {str(name_or_path)!r} here: `acestep pull lm-0.6b` fetches one")
        from transformers import AutoModelForCausalLM, AutoTokenizer

        kind = torch.bfloat16 if device.type == "cuda" else torch.float32
        try:
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=kind, use_safetensors=True, **ONLY_DATA
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **ONLY_DATA)
        except BROKEN_FILES as error:
            raise CheckpointError(f"the planner in {folder} cannot be loaded: {error}") from error
        planner = cls(folder.name, model.eval().requires_grad_(False).to(device), tokenizer)
        planner.files = fingerprint(folder)
        return planner

    def tokens(self, duration_s: float) -> int:
        """About how many tokens a plan takes; what `plan` reports adds up to no more."""
        return MAX_CAPTION_TOKENS + code_count(duration_s)

    def plan(
        self,
        request: GenerateRequest,
        duration_s: float,
        *,
        codes: int = 0,
        seed: int = 0,
        on_token: Callable[[int], None] = lambda count: None,
    ) -> Blueprint:
        """Expand the request's prompt for a clip of `duration_s`.

        `codes` is the size of the codebook to draw from, 0 for no codes.
        `on_token(count)` is called as tokens are written, and may raise to cancel.
        """
        asked = self._chat(request.prompt, request.lyrics)
        before, after = _lines(request.grid, duration_s, bool(request.lyrics))
        thought = f"<think>\n{before}caption:"
        caption = self._caption(asked + thought, on_token) or request.prompt
        thought += f" {caption}\n{after[0]}keyscale:"
        named = str(request.key.sharp) if request.key else self._choice(asked + thought, KEYS)
        thought += f" {named}\n{after[1]}</think>\n\n"
        written: tuple[int, ...] = ()
        if codes:
            written = self._codes(asked + thought, code_count(duration_s), codes, seed, on_token)
        return Blueprint(caption, Key.parse(named), written)

    def _chat(self, prompt: str, lyrics: str) -> str:
        turns = (
            {"role": "system", "content": f"# Instruction\n{INSTRUCTION}\n\n"},
            {"role": "user", "content": f"# Caption\n{prompt}\n\n# Lyric\n{lyrics or '[Instrumental]'}\n"},
        )
        chat = self.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True)
        return str(chat)

    def _caption(self, text: str, on_token: Callable[[int], None]) -> str:
        """The likeliest continuation up to its end, without tokens that are not text."""
        forbidden = torch.tensor(sorted(self.wordless_ids))
        ids: list[int] = []
        reader = _Reader(self, text)
        while len(ids) < MAX_CAPTION_TOKENS:
            logits = reader.next(ids[-1:])
            logits[forbidden] = -torch.inf
            ids.append(int(logits.argmax()))
            on_token(1)
            written = self.tokenizer.decode(ids)
            if end := CAPTION_ENDS.search(written.lstrip()):
                written = written.lstrip()[: end.start()]
                break
        on_token(MAX_CAPTION_TOKENS - len(ids))
        return " ".join(written.replace("\ufffd", "").split())

    def _choice(self, text: str, options: Sequence[str]) -> str:
        """The option that the likeliest tokens lead to, each step among those that still lead to one."""
        left = {option: self._ids(f" {option}") for option in options}
        reader, place, last = _Reader(self, text), 0, list[int]()
        while len(left) > 1:
            logits = reader.next(last)
            allowed = sorted({ids[place] for ids in left.values()})
            last = [allowed[int(logits[torch.tensor(allowed)].argmax())]]
            left = {option: ids for option, ids in left.items() if ids[place] == last[0]}
            place += 1
        return next(iter(left))

    def _codes(
        self, text: str, count: int, codebook: int, seed: int, on_token: Callable[[int], None]
    ) -> tuple[int, ...]:
        """`count` codes below `codebook`, drawn. Other tokens are excluded, and so is an early end."""
        generator = torch.Generator("cpu").manual_seed(seed)
        reader, drawn, last = _Reader(self, text), list[int](), list[int]()
        ids = self.code_ids[:codebook]
        for _ in range(count):
            weights = torch.softmax(reader.next(last)[ids] / TEMPERATURE, dim=0)
            drawn.append(int(torch.multinomial(weights, 1, generator=generator)))
            last = [int(ids[drawn[-1]])]
            on_token(1)
        return tuple(drawn)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


class _Reader:
    """The model along one text: keys and values of what was read are kept."""

    def __init__(self, planner: Planner, text: str) -> None:
        self.model, self.pending = planner.model, planner._ids(text)
        self.memory: Any = None

    @torch.no_grad()
    def next(self, ids: Sequence[int]) -> Tensor:
        """Logits [V] after reading these further tokens."""
        device = next(self.model.parameters()).device
        unread = torch.tensor([[*self.pending, *ids]], device=device)
        self.pending = []
        made = self.model(input_ids=unread, past_key_values=self.memory, use_cache=True)
        self.memory = made.past_key_values
        logits: Tensor = made.logits[0, -1]
        return logits.float().cpu()


def code_count(duration_s: float) -> int:
    """Codes that cover so many seconds."""
    return math.ceil(round(duration_s * CODES_HZ, 6))


def _lines(grid: Grid, duration_s: float, sung: bool) -> tuple[str, tuple[str, str]]:
    """What the request fixes, as the lines before the caption, and before and after the key.

    What the planner has no word for (7/8) is left out.
    """
    bpm = round(grid.bpm)
    before = f"bpm: {bpm}\n" if BPM_RANGE[0] <= bpm <= BPM_RANGE[1] else ""
    seconds = min(max(math.ceil(duration_s), DURATION_RANGE_S[0]), DURATION_RANGE_S[1])
    signature = SIGNATURES.get(str(grid.signature))
    language = f"language: {'en' if sung else 'unknown'}\n"
    return before, (
        f"duration: {seconds}\n",
        language + (f"timesignature: {signature}\n" if signature else ""),
    )
