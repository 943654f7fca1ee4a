"""The form of the training page and its buttons. What the run says is drawn by static/train.js."""

from collections.abc import Awaitable
from typing import Any

import gradio as gr

from plugin_bridge.errors import BridgeError
from plugin_bridge.web.generate import place
from plugin_bridge.web.live import Feed
from plugin_bridge.web.studio import OPTIONS, Studio, flags_of

TARGETS = ["attention", "mlp", "all"]
WITH_TAB = "(...values) => [...values.slice(0, -1), window.bridge.tab]"


class TrainForm:
    """Folder, name and settings; look, start, stop, go on."""

    def __init__(self, feed: Feed, studio: Studio) -> None:
        self._feed, self._studio = feed, studio

    def build(self) -> None:
        """Lays the form out and wires it."""
        with gr.Row(elem_id="train-page"):
            with gr.Column(scale=2, min_width=320):
                folder = gr.Textbox(
                    label="Folder with your audio (on the machine of this page)",
                    placeholder="~/Music/MyStems",
                    max_lines=1,
                    elem_id="train-folder",
                )
                place("folders")
                name = gr.Textbox(
                    label="Name of the adapter", placeholder="my-sound", max_lines=1, elem_id="train-name"
                )
                fields = self._settings()
                with gr.Row():
                    look = gr.Button("Look at it", elem_id="train-look", min_width=90)
                    start = gr.Button("Train", variant="primary", elem_id="train-start", min_width=90)
                    stop = gr.Button("Stop", elem_id="train-stop", min_width=70)
                again = gr.Checkbox(False, label="Begin anew (otherwise a stopped run of this name goes on)")
            with gr.Column(scale=3, min_width=320):
                place("train")
        tab = gr.Textbox(visible="hidden")
        wired: dict[str, Any] = {
            "queue": False,
            "show_progress": "hidden",
            "api_visibility": "private",
            "js": WITH_TAB,
        }
        look.click(self._on_look, [folder, tab], None, **wired)
        start.click(self._on_start, [folder, name, again, *fields, tab], None, **wired)
        stop.click(self._on_stop, [tab], None, **wired)

    def _settings(self) -> list[Any]:
        with gr.Row(elem_classes="tight"):
            minutes = gr.Textbox(
                label="Minutes", placeholder="8 on a CPU", min_width=90, max_lines=1, elem_id="train-minutes"
            )
            trigger = gr.Textbox(
                label="Trigger word", placeholder="none", min_width=110, max_lines=1, elem_id="train-trigger"
            )
        with gr.Accordion("More settings", open=False), gr.Row(elem_classes="tight"):
            base = gr.Textbox(label="Cascade", placeholder="nano", min_width=100, max_lines=1)
            stages = gr.Textbox(label="Stages", placeholder="all", min_width=80, max_lines=1)
            rank = gr.Textbox(label="Rank", placeholder="32", min_width=70, max_lines=1)
            rate = gr.Textbox(label="Learning rate", placeholder="0.0005", min_width=90, max_lines=1)
            targets = gr.Dropdown(TARGETS, value="attention", label="Layers", min_width=110)
        return [minutes, trigger, base, stages, rank, rate, targets]

    async def _on_look(self, folder: str, tab: str) -> None:
        await self._do(tab, self._studio.prepare(folder or ""))

    async def _on_start(self, folder: str, name: str, again: bool, *rest: Any) -> None:
        *values, tab = rest
        flags = flags_of(dict(zip(OPTIONS, values, strict=True)))
        await self._do(tab, self._studio.train(folder or "", name or "", flags, bool(again)))

    async def _on_stop(self, tab: str) -> None:
        await self._do(tab, self._studio.stop())

    async def _do(self, tab: str, action: Awaitable[None]) -> None:
        try:
            await action
        except BridgeError as error:
            self._feed.tell({"kind": "error", "reason": error.reason, "message": error.message}, tab=tab)
