"""The page: tabs, theme, and the files of static/. Draws nothing itself that static/ draws."""

import gradio as gr

from plugin_bridge.web.generate import GenerateForm, place
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.train import TrainForm

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Cantarell", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
HEAD = """
<link rel="stylesheet" href="/bridge/static/style.css">
<script type="module" src="/bridge/static/main.js"></script>
"""


def theme() -> gr.themes.Base:
    """System fonts only: the page loads nothing from elsewhere."""
    return gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        font=FONTS,
        font_mono=MONO,
        radius_size="sm",
        spacing_size="sm",
    ).set(  # white on teal can be read from here on
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
    )


def build(parts: Parts) -> gr.Blocks:
    """All tabs."""
    with gr.Blocks(title="ACE-Step bridge", analytics_enabled=False, fill_width=True) as drawn:
        place("header")
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab("Generate", id="generate"):
                GenerateForm(parts.feed, parts.runs).build()
            with gr.Tab("Library", id="library"):
                place("library")
            with gr.Tab("Train", id="train"):
                TrainForm(parts.feed, parts.studio).build()
            with gr.Tab("Set-up", id="setup"):
                place("setup")
    blocks: gr.Blocks = drawn
    return blocks
