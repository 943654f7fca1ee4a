"""matplotlib's plots in the colours of the page's dark theme. Loads no matplotlib: it gets what was made."""

from typing import Any

from acestep.drawing.style import colour


def dress(figure: Any) -> None:
    """Colours the figure and all of its axes; texts that are added later need colours of their own."""
    figure.set_facecolor(colour("ground"))
    for axes in figure.axes:
        axes.set_facecolor(colour("well"))
        axes.tick_params(colors=colour("soft"))
        for side in axes.spines.values():
            side.set_color(colour("line"))
        for said in (axes.xaxis.label, axes.yaxis.label):
            said.set_color(colour("soft"))
        axes.title.set_color(colour("ink"))
