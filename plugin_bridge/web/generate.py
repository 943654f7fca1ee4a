"""The form of a request and its buttons: the layout in Gradio, and what pressing does.

What is sent is in `fields`; takes and progress are drawn by static/.
"""

import json
from typing import Any

import gradio as gr

from plugin_bridge.errors import BridgeError
from plugin_bridge.web.fields import (
    DEFAULTS,
    FORMATS,
    KEYS,
    NAMES,
    SIGNATURES,
    TASKS,
    THE_DAEMONS,
    as_typed,
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
            add["bpm"] = gr.Textbox(
                label="Tempo", placeholder="120", min_width=110, max_lines=1, elem_id="bpm"
            )
            tap = gr.Button("Tap", min_width=60, scale=0, elem_id="tap")
            add["signature"] = gr.Dropdown(
                SIGNATURES,
                value=DEFAULTS["signature"],
                label="Signature",
                allow_custom_value=True,
                min_width=100,
                elem_id="signature",
            )
            add["bars"] = gr.Textbox(label="Bars", placeholder="4", min_width=80, max_lines=1, elem_id="bars")
        with gr.Row(elem_classes="tight"):
            add["key"] = gr.Dropdown(KEYS, value="", label="Key", min_width=110, elem_id="key")
            add["takes"] = gr.Textbox(
                DEFAULTS["takes"], label="Takes", min_width=80, max_lines=1, elem_id="takes"
            )
        with gr.Row(elem_classes="tight"):
            add["seed"] = gr.Textbox(
                label="Seed", min_width=110, placeholder="random", elem_id="seed", max_lines=1
            )
            add["lock"] = gr.Checkbox(False, label="Keep seed", min_width=100, elem_id="lock")
        tap.click(None, None, add["bpm"], js=TAP, queue=False, api_visibility="private")
        add["seed"].input(
            None, add["seed"], add["lock"], js=SEED_TYPED, queue=False, api_visibility="private"
        )
        with gr.Accordion("Lyrics", open=False):
            add["lyrics"] = gr.Textbox(
                show_label=False, container=False, lines=4, max_lines=20, placeholder="[verse] …"
            )

    def _audio_fields(self) -> None:
        add = self.fields
        with gr.Accordion("Reference and context", open=False, elem_id="audio-fields"):
            place("reference", "context")
            with gr.Row(elem_classes="tight"):
                add["task"] = gr.Dropdown(
                    TASKS, value="", label="Task", min_width=240, scale=2, elem_id="task"
                )
                add["track"] = gr.Textbox(label="Track", placeholder="drums", min_width=120, max_lines=1)
            add["strength"] = gr.Slider(0, 1, 1.0, step=0.01, label="Strength of reference and context")

    def _model_fields(self) -> None:
        add = self.fields
        with gr.Accordion("Model, adapters, file", open=False, elem_id="model-fields"):
            with gr.Row(elem_classes="tight"):
                add["cascade"] = gr.Dropdown(
                    [THE_DAEMONS],
                    value="",
                    label="Cascade",
                    allow_custom_value=True,
                    min_width=140,
                )
                add["stages"] = gr.Dropdown(
                    ["l", "m", "s"],
                    value=[],
                    multiselect=True,
                    allow_custom_value=True,
                    label="Stages (none: all)",
                    min_width=140,
                )
            place("adapters")
            with gr.Row(elem_classes="tight"):
                add["steps"] = gr.Textbox(label="Steps", placeholder="its own", min_width=90, max_lines=1)
                add["guidance"] = gr.Textbox(
                    label="Guidance", placeholder="its own", min_width=90, max_lines=1
                )
                add["candidates"] = gr.Textbox(
                    DEFAULTS["candidates"], label="Best of", min_width=80, max_lines=1
                )
            with gr.Row(elem_classes="tight"):
                add["fit"] = gr.Checkbox(True, label="Fit to the grid", min_width=110)
                add["strict"] = gr.Checkbox(False, label="Refuse a poor fit", min_width=110)
            with gr.Row(elem_classes="tight"):
                add["format"] = gr.Dropdown(FORMATS, value="wav", label="File", min_width=80)
                add["sample_format"] = gr.Dropdown(
                    [("24 bit", "pcm24"), ("32 bit float", "float32")],
                    value="pcm24",
                    label="Samples",
                    min_width=100,
                )

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
