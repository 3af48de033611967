"""Draw a picture of a front: an interactive page with Plotly, and an image with Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracking.documents.schemas import Axis, FrontDocument, TrialsDocument
from tracking.reports.figure import Picture, PlottedTrial, compose, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from plotly.graph_objects import Figure

_INK, _FAINT, _GRID = "#222222", "#6E6E6E", "#EAEAEA"

# Only these buttons: one of Plotly's default ones sends the picture to Plotly's servers.
_CONFIG = {"responsive": True, "displaylogo": False, "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]]}

# Without it phones lay the page out for a large screen.
_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'


def front_html(
    document: FrontDocument, trials: TrialsDocument, path: Path, *, confirmed: bool = False, axis: Axis = "trainable"
) -> None:
    """Write a front as an HTML page that holds Plotly's script and loads nothing."""
    draw_html(compose(document, trials, confirmed=confirmed, axis=axis), path)


def front_figure(
    document: FrontDocument, trials: TrialsDocument, *, confirmed: bool = False, axis: Axis = "trainable"
) -> Figure:
    """Return a front and its trials as a Plotly figure."""
    return plotly_figure(compose(document, trials, confirmed=confirmed, axis=axis))


def draw_html(picture: Picture, path: Path) -> None:
    """Write a picture as an HTML page."""
    page = plotly_figure(picture).to_html(include_plotlyjs=True, config=_CONFIG)
    path.write_text(page.replace("<head>", f"<head>{_VIEWPORT}", 1), encoding="utf-8")


def plotly_figure(picture: Picture) -> Figure:
    """Return a picture as a Plotly figure."""
    import plotly.graph_objects as go

    # Below the picture, because a phone has no room beside it.
    legend = {"title": f"{picture.legend}  ", "orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    figure = go.Figure(layout={"template": "plotly_white", "hovermode": "closest", "legend": legend})
    subtitle = picture.subtitle.replace(" · ", "<br>")  # each part is short enough for a phone
    figure.update_layout(title={"text": picture.title, "subtitle": {"text": subtitle}, "yref": "container", "y": 0.97})
    figure.update_layout(title_yanchor="top", margin={"l": 16, "r": 16, "b": 16, "t": 130})
    for method, style in picture.styles.items():
        marker = {"color": style.colour, "symbol": style.symbol, "size": 8, "opacity": 0.35}
        figure.add_scatter(**_scatter(picture, picture.trials, method), marker=marker, showlegend=False)
    if picture.front:
        across, up = picture.line()
        line = {"color": _INK, "width": 2.5, "shape": "hv"}
        figure.add_scatter(x=across, y=up, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for method, style in picture.styles.items():
        edge = {"color": "white", "width": 1.5}
        marker = {"color": style.colour, "symbol": style.symbol, "size": 13, "line": edge}
        figure.add_scatter(**_scatter(picture, picture.front, method), marker=marker, showlegend=True)
    # On a logarithmic axis Plotly takes the value for a line, but its logarithm for an annotation.
    figure.add_vline(picture.budget, line={"color": _FAINT, "dash": "dash", "width": 1.2})
    note = {"showarrow": False, "font": {"color": _FAINT}}
    budget = {"text": picture.budget_note, "textangle": -90, "xanchor": "left", "yanchor": "middle"}
    figure.add_annotation(x=math.log10(picture.budget), y=0.5, yref="paper", **note, **budget)
    if picture.reference is not None:
        figure.add_hline(picture.reference, line={"color": _FAINT, "dash": "dot", "width": 1.2})
        place = picture.reference_place
        head = {"text": picture.reference_note, "xanchor": place.anchor, "yanchor": "bottom" if place.above else "top"}
        figure.add_annotation(x=place.across, xref="paper", y=picture.reference, **note, **head)
    if picture.knee:
        offset = {"ax": -30, "ay": -32 if picture.upward else 32}
        figure.add_annotation(x=math.log10(picture.knee.size), y=picture.knee.quality, text="knee", **offset)
    figure.update_xaxes(
        title=picture.across,
        type="log",
        range=[math.log10(picture.low[0]), math.log10(picture.high[0])],
        dtick=1 if picture.wide else "D2",
        tickformat="~s",
    )
    figure.update_yaxes(title=picture.up, range=[picture.low[1], picture.high[1]])
    if picture.percent:
        figure.update_yaxes(tickformat=".0%")
    return figure


def _scatter(picture: Picture, dots: Sequence[PlottedTrial], method: str) -> dict[str, Any]:
    mine = [dot for dot in dots if dot.method == method]
    return {
        "name": method,
        "legendgroup": method,
        "mode": "markers",
        # Plotly leaves a method without dots out of the legend; a dot without a place keeps it there.
        "x": [dot.size for dot in mine] or [None],
        "y": [dot.quality for dot in mine] or [None],
        "error_y": {"array": [dot.spread for dot in mine], "visible": any(dot.spread for dot in mine)},
        "hovertext": [f"{dot.label}<br>{dot.size:,} · {number(dot.quality, picture.percent)}" for dot in mine],
        "hoverinfo": "text",
    }


def front_png(
    document: FrontDocument, trials: TrialsDocument, path: Path, *, confirmed: bool = False, axis: Axis = "trainable"
) -> None:
    """Write a front as a PNG image of 1,500 by 900 pixels."""
    draw_png(compose(document, trials, confirmed=confirmed, axis=axis), path)


def draw_png(picture: Picture, path: Path) -> None:
    """Write a picture as a PNG image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _frame(axes, picture)
    for method, style in picture.styles.items():
        faint = [dot for dot in picture.trials if dot.method == method]
        bold = [dot for dot in picture.front if dot.method == method]
        axes.scatter(*_places(faint), s=34, c=style.colour, marker=style.marker, alpha=0.35, linewidths=0, zorder=2)
        look: dict[str, Any] = {"c": style.colour, "marker": style.marker, "edgecolors": "white", "linewidths": 1.2}
        axes.scatter(*_places(bold), s=110, zorder=5, label=method, **look)
        spread = [dot.spread or 0.0 for dot in bold]
        axes.errorbar(*_places(bold), yerr=spread, fmt="none", ecolor=style.colour, capsize=3, zorder=4)
    if picture.front:
        axes.plot(*picture.line(), color=_INK, linewidth=2, drawstyle="steps-post", zorder=3)
    if picture.knee:
        at = (picture.knee.size, picture.knee.quality)
        arrow = {"arrowstyle": "-", "color": _INK, "shrinkB": 7}
        beside = (-34, 26 if picture.upward else -32)
        axes.annotate("knee", at, beside, textcoords="offset points", arrowprops=arrow, color=_INK, fontsize=10)
    if picture.styles:
        legend = axes.legend(title=picture.legend, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
        legend.set_alignment("left")
    figure.savefig(path, format="png")  # also where the path has another suffix


def _places(dots: Sequence[PlottedTrial]) -> tuple[list[int], list[float]]:
    return [dot.size for dot in dots], [dot.quality for dot in dots]


def _frame(axes: Axes, picture: Picture) -> None:
    """Draw axes, grid, and the lines of budget and reference with their notes."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set(xlim=(picture.low[0], picture.high[0]), ylim=(picture.low[1], picture.high[1]))
    axes.set_xlabel(picture.across, fontsize=11)
    axes.set_ylabel(picture.up, fontsize=11)
    axes.set_title(picture.title, loc="left", fontsize=15, fontweight="bold", pad=26, parse_math=False)
    axes.text(0, 1.02, picture.subtitle, transform=axes.transAxes, color=_FAINT, fontsize=10, parse_math=False)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if picture.wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if picture.percent:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.axvline(picture.budget, color=_FAINT, linestyle="--", linewidth=1.1, zorder=1)
    quiet: dict[str, Any] = {"color": _FAINT, "fontsize": 9.5}
    # No dot is to the right of the budget, so its note hides none.
    at, upright = (picture.budget, 0.5), axes.get_xaxis_transform()
    axes.annotate(picture.budget_note, at, (4, 0), upright, "offset points", rotation=90, va="center", **quiet)
    if picture.reference is not None:
        axes.axhline(picture.reference, color=_FAINT, linestyle=":", linewidth=1.3, zorder=1)
        place, across = picture.reference_place, axes.get_yaxis_transform()
        start, beside = (place.across, picture.reference), (0, 4 if place.above else -4)
        side = "bottom" if place.above else "top"
        over: dict[str, Any] = {"ha": place.anchor, "va": side, "zorder": 6, "path_effects": [_halo()]}
        axes.annotate(picture.reference_note, start, beside, across, "offset points", **quiet, **over)


def _halo() -> Any:
    """Return a path effect that draws white around letters, so that they are legible on dots."""
    from matplotlib.patheffects import withStroke

    return withStroke(linewidth=3, foreground="white")
