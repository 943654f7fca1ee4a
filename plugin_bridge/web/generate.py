"""The form of a request and its buttons: the layout in Gradio, and what pressing does.

Which fields there are and what is sent is in `fields`; here is where they stand. A setting that has no place
of its own stands with the last ones. Takes and progress are drawn by static/.
"""

import json
from typing import Any

import gradio as gr

from plugin_bridge.errors import BridgeError
from plugin_bridge.web.fields import (
    DEFAULTS,
    FORM,
    KEYS,
    NAMES,
    SIGNATURES,
    THE_DAEMONS,
    as_typed,
    choices,
    is_fader,
    options_of,
    values_of,
)
from plugin_bridge.web.live import Feed
from plugin_bridge.web.runs import Runs

# The last input of Generate is what the browser alone knows, as JSON: its tab, the picked audio, the faders.
WITH_CLIENT_STATE = "(...values) => [...values.slice(0, -1), JSON.stringify(window.bridge.formState())]"
RECALLED = "() => JSON.stringify(window.bridge.recalled)"
SEED_TYPED = "(seed) => Boolean(seed.trim())"
TAP = "() => window.bridge.tap()"


def place(*names: str) -> gr.HTML:
    """Where static/ draws its parts of these names."""
    spots = "".join(f'<div data-mount="{name}"></div>' for name in names)
    return gr.HTML(spots, apply_default_css=False)


# What an empty field shows: an example, or what the daemon takes then.
PLACEHOLDERS = {"bpm": "120", "bars": "4", "seed": "random", "swing": "the context's", "track": "drums"}
PLACEHOLDERS |= {"tempo_map": "0 100 ramp, 16 120", "steps": "its own", "guidance": "its own"}
WIDE = {"task": 2, "tempo_map": 2}


def widget(name: str, info: str | None = None) -> Any:
    """The field of a setting, by its kind."""
    setting = FORM[name]
    common: dict[str, Any] = {
        "label": setting.title,
        "info": info,
        "elem_id": name,
        "min_width": 100,
        "scale": WIDE.get(name, 1),
    }
    if setting.kind == "switch" and setting.default is not None:
        return gr.Checkbox(setting.default, **common)
    if setting.kind in ("switch", "choice"):
        return gr.Dropdown(choices(name), value=DEFAULTS[name], **common)
    if setting.kind == "signature":
        return gr.Dropdown(SIGNATURES, value="", allow_custom_value=True, **common)
    if setting.kind == "key":
        return gr.Dropdown(KEYS, value="", **common)
    if setting.kind == "names":
        several: dict[str, Any] = {"value": [], "multiselect": True, "allow_custom_value": True}
        return gr.Dropdown(["l", "m", "s"], **{**common, "label": f"{setting.title} (none: all)", **several})
    if name == "cascade":
        return gr.Dropdown([THE_DAEMONS], value="", allow_custom_value=True, **common)
    if is_fader(setting):
        return gr.Slider(0, 1, setting.default, step=0.01, **common)
    known = f"{setting.default:g}" if isinstance(setting.default, int | float) else ""
    return gr.Textbox(DEFAULTS[name], placeholder=PLACEHOLDERS.get(name, known), max_lines=1, **common)


def _object(text: Any) -> dict[str, Any]:
    """What the browser or a sidecar says as JSON; nothing where it is none."""
    try:
        told = json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


class GenerateForm:
    """The form and its buttons. `build` is called once, inside a Blocks context."""

    def __init__(self, feed: Feed, runs: Runs) -> None:
        self._feed, self._runs = feed, runs
        self.fields: dict[str, Any] = {}

    def build(self) -> None:
        """Lays the form out and wires it."""
        with gr.Row(elem_id="generate-page"):
            with gr.Column(scale=2, min_width=320, elem_id="form"):
                self._musical_fields()
                with gr.Row(elem_id="go-row"):
                    go = gr.Button("Generate", variant="primary", elem_id="go", scale=3)
                self._audio_fields()
                self._model_fields()
            with gr.Column(scale=3, min_width=320):
                place("runs", "queue")
        client = gr.Textbox(visible="hidden")
        # Not through Gradio's queue: the request is only handed to the daemon, which has its own.
        go.click(
            self._on_go,
            [*self._in_order(), client],
            None,
            js=WITH_CLIENT_STATE,
            queue=False,
            show_progress="hidden",
            trigger_mode="multiple",
            api_visibility="private",
        )
        recall = gr.Textbox(visible="hidden", elem_id="recall")
        button = gr.Button("recall", visible="hidden", elem_id="recall-go")
        button.click(
            self._on_recall,
            recall,
            self._in_order(),
            js=RECALLED,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

        models = gr.Button("models", visible="hidden", elem_id="models-go")
        models.click(
            self._on_models,
            None,
            [self.fields["cascade"], self.fields["stages"]],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )

    def _in_order(self) -> list[Any]:
        return [self.fields[name] for name in NAMES]

    def _put(self, *names: str, explained: bool = False) -> None:
        """Fields beside each other, each with its sentence of help if they are `explained`."""
        with gr.Row(elem_classes="tight"):
            for name in names:
                self.fields[name] = widget(name, FORM[name].help if explained else None)

    def _musical_fields(self) -> None:
        add = self.fields
        add["prompt"] = gr.Textbox(
            label="Prompt",
            placeholder="dusty breakbeat, upright bass, vinyl crackle",
            lines=2,
            max_lines=6,
            elem_id="prompt",
        )
        with gr.Row(elem_classes="tight"):
            add["bpm"] = widget("bpm")
            tap = gr.Button("Tap", min_width=60, scale=0, elem_id="tap")
            add["signature"], add["bars"] = widget("signature"), widget("bars")
        self._put("key", "takes")
        with gr.Row(elem_classes="tight"):
            add["seed"] = widget("seed")
            add["lock"] = gr.Checkbox(False, label="Keep seed", min_width=100, elem_id="lock")
        tap.click(None, None, add["bpm"], js=TAP, queue=False, api_visibility="private")
        add["seed"].input(
            None, add["seed"], add["lock"], js=SEED_TYPED, queue=False, api_visibility="private"
        )
        with gr.Accordion("Swing and changing tempo", open=False, elem_id="tempo-fields"):
            self._put("swing", "tempo_map", explained=True)
        with gr.Accordion("Lyrics", open=False):
            add["lyrics"] = gr.Textbox(
                show_label=False, container=False, lines=4, max_lines=20, placeholder="[verse] …"
            )

    def _audio_fields(self) -> None:
        with gr.Accordion("Reference and context", open=False, elem_id="audio-fields"):
            place("reference", "context")
            self._put("task", "track")
            self.fields["strength"] = widget("strength")

    def _model_fields(self) -> None:
        with gr.Accordion("Model, adapters, file", open=False, elem_id="model-fields"):
            self._put("cascade", "stages")
            place("adapters")
            self._put("steps", "guidance", "candidates", explained=True)
            self._put("guide", "loudness_lufs", explained=True)
            self._put("fit", "strict")
            self._put("format", "sample_format")
            if more := [name for name in FORM if name not in self.fields]:
                self._put(*more, explained=True)

    async def _on_go(self, *values: Any) -> None:
        client = _object(values[-1])
        tab = str(client.get("tab") or "")
        try:
            prompt, options = options_of(dict(zip(NAMES, values, strict=False)), client)
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
            told = {"kind": "error", "reason": "invalid_request", "message": str(error)}
            self._feed.tell(told, tab=tab)
            return
        self._runs.start(tab, prompt, options)

    async def _on_recall(self, recalled: str) -> list[Any]:
        """Fills the form: all of it from the clip's own request, or only what is to be `set`."""
        asked = _object(recalled)
        wanted = asked.get("set")
        wanted = wanted if isinstance(wanted, dict) else {}
        changed = as_typed({name: wanted[name] for name in NAMES if name in wanted})
        if not asked.get("clip"):
            return [changed.get(name, gr.skip()) for name in NAMES]
        try:
            clip = await self._feed.clip(str(asked["clip"]))
        except BridgeError as error:
            told = {"kind": "error", "reason": error.reason, "message": error.message}
            self._feed.tell(told, tab=str(asked.get("tab", "")))
            return [gr.skip() for _ in NAMES]
        request = _object(clip.sidecar_json).get("request")
        request = request if isinstance(request, dict) else {}
        values = {**values_of({**request, "prompt": clip.prompt, "seed": str(clip.seed)}), **changed}
        return [values[name] for name in NAMES]

    async def _on_models(self) -> list[Any]:
        """The choices the daemon has; pressed by the browser when the daemon came or loaded something."""
        try:
            cascades = await self._feed.bridge.cascades()
        except BridgeError:
            return [gr.skip(), gr.skip()]  # the header says that the daemon is not there
        names = [THE_DAEMONS, *((cascade.name, cascade.name) for cascade in cascades)]
        stages = list(dict.fromkeys(stage for cascade in cascades for stage in cascade.stages))
        return [gr.update(choices=names), gr.update(choices=stages or ["l", "m", "s"])]
