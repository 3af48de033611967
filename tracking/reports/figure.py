"""The model of a picture of a front: dots, lines, styles and notes, which Plotly and Matplotlib draw alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tracking.documents.schemas import Axis, FrontDocument, FrontPoint, TrialsDocument

# The palette of Okabe and Ito for colour-blind readers, without yellow; shapes distinguish methods of one colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F3C8D", "#8C564B")
_SHAPES = (("o", "circle"), ("s", "square"), ("^", "triangle-up"), ("D", "diamond"), ("v", "triangle-down"))
SHARES = frozenset({"accuracy", "f1", "f1-macro", "f1-micro", "seqeval-f1", "exact-match", "numeric-match", "token-f1"})


@dataclass(frozen=True)
class Style:
    """The look of a method: a colour, and one shape by its names in Matplotlib (`marker`) and Plotly (`symbol`)."""

    colour: str
    marker: str
    symbol: str


@dataclass(frozen=True)
class PlottedTrial:
    """A dot for one training. `label`: its text in HTML; `spread`: the standard deviation of its quality."""

    size: int
    quality: float
    method: str
    label: str
    spread: float | None = None


@dataclass(frozen=True)
class Place:
    """The place of a note along a horizontal line.

    Attributes:
        across: the position of its anchor, as a part of the width.
        anchor: the side of the note that is at this position.
        above: above the line, or below.
    """

    across: float
    anchor: Literal["left", "right"]
    above: bool


_PLACES = (
    Place(0.01, "left", True),
    Place(0.01, "left", False),
    Place(0.93, "right", True),
    Place(0.93, "right", False),
    Place(0.35, "left", True),
    Place(0.35, "left", False),
)
_NOTE = (0.22, 0.05)  # the width and height of a note, as parts of those of the picture
_DOT = 0.012


@dataclass(frozen=True)
class Picture:
    """Dots and lines over a logarithmic count and a quality.

    Attributes:
        across, up: titles of the axes.
        percent: write qualities as percentages.
        upward: more quality is better.
        budget: the count of the vertical line.
        reference: the quality of the horizontal line.
        trials, front: dots beside the front, and those on it.
        low, high: the smallest and largest count and quality that are shown.
        legend: the title of the legend.
    """

    title: str
    subtitle: str
    across: str
    up: str
    percent: bool
    upward: bool
    budget: int
    reference: float | None
    trials: tuple[PlottedTrial, ...]
    front: tuple[PlottedTrial, ...]
    knee: PlottedTrial | None
    styles: dict[str, Style]
    low: tuple[float, float]
    high: tuple[float, float]
    legend: str = "method"

    @property
    def budget_note(self) -> str:
        return f"budget {self.budget:,}"

    @property
    def reference_note(self) -> str:
        return "" if self.reference is None else f"head alone {number(self.reference, self.percent)}"

    @property
    def wide(self) -> bool:
        """True if ticks at powers of ten are enough for the axis of counts."""
        return self.high[0] / self.low[0] > 20_000

    @property
    def reference_place(self) -> Place:
        """The place of the reference's note at which it hides the fewest dots."""
        if self.reference is None:
            return _PLACES[0]
        dots = [(self._across(dot.size), self._up(dot.quality)) for dot in (*self.trials, *self.front)]
        line = self._up(self.reference)

        def hidden(place: Place) -> tuple[bool, int]:
            left = place.across if place.anchor == "left" else place.across - _NOTE[0]
            low, high = (line, line + _NOTE[1]) if place.above else (line - _NOTE[1], line)
            inside = (left - _DOT <= x <= left + _NOTE[0] + _DOT and low - _DOT <= y <= high + _DOT for x, y in dots)
            return not 0 <= low < high <= 1, sum(inside)

        return min(_PLACES, key=hidden)

    def _across(self, size: float) -> float:
        low, high = map(math.log, (self.low[0], self.high[0]))
        return (math.log(max(size, 1)) - low) / (high - low)

    def _up(self, quality: float) -> float:
        return (quality - self.low[1]) / (self.high[1] - self.low[1])

    def line(self) -> tuple[list[float], list[float]]:
        """Return the corners of the front's line, which extends to the budget, up to which the last point is best."""
        ends = (self.budget, self.front[-1].quality)
        corners = [(dot.size, dot.quality) for dot in self.front] + [ends]
        return [float(size) for size, _ in corners], [quality for _, quality in corners]


def compose(document: FrontDocument, trials: TrialsDocument, *, confirmed: bool, axis: Axis) -> Picture:
    """Return the picture of a front among the finished trials of its search.

    Trials beside the front have the quality of their one training, also beside confirmed points. Over stored
    parameters they are left out, because their documents do not hold that count.
    """
    metric, counts = document.objective.metric, document.trials
    beside = trials.trials if axis == "trainable" else ()
    finished = tuple(
        PlottedTrial(one.trainable_parameters, one.quality, one.method, _label(one.trial, one.method, one.config))
        for one in beside
        if one.quality is not None
    )
    front = tuple(_dot(point, confirmed, axis) for point in document.front)
    methods = sorted({dot.method for dot in (*finished, *front)})
    area = "" if document.hypervolume is None else f" · hypervolume {document.hypervolume:.3f}"
    beaten = " · none beats the head alone" if document.best is None and document.reference.quality is not None else ""
    knee = _dot(document.knee, confirmed, axis) if document.knee is not None else None
    low, high = _bounds(document, (*finished, *front, *([] if knee is None else [knee])))
    return Picture(
        title=document.search,
        subtitle=f"{_short(document.base_model)} · {counts.finished} finished, {counts.stopped} stopped{area}{beaten}",
        across=f"{axis} parameters of the adapter",
        up=f"{metric} on validation" + (", confirmed" if confirmed else ""),
        percent=metric in SHARES,
        upward=document.objective.mode == "max",
        budget=document.budget.parameters,
        reference=document.reference.quality,
        trials=finished,
        front=front,
        knee=knee,
        styles={method: _style(number) for number, method in enumerate(methods)},
        low=low,
        high=high,
    )


def _bounds(document: FrontDocument, dots: tuple[PlottedTrial, ...]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the lowest and highest count and quality to show, with a margin.

    Counts reach to the budget; qualities begin at the reference, so that a trial that diverged does not flatten the
    others.
    """
    reference, best = document.reference.quality, 1 if document.objective.mode == "max" else -1
    sizes = [dot.size for dot in dots] or [document.budget.at_least]
    qualities = [dot.quality for dot in dots if reference is None or best * dot.quality >= best * reference]
    qualities += [] if reference is None else [reference]
    lowest, highest = min(qualities, default=0.0), max(qualities, default=1.0)
    margin = 0.08 * (highest - lowest) or 0.05 * max(1.0, abs(highest))
    left = max(1, min(*sizes, document.budget.parameters // 10))
    air = max(1.05, (document.budget.parameters / left) ** 0.06)
    return (left / air, lowest - margin), (document.budget.parameters * air, highest + margin)


def number(value: float, percent: bool) -> str:
    """Return a quality as text: as a percentage such as 87.3%, else with four digits."""
    return f"{value:.1%}" if percent else f"{value:.4g}"


def _dot(point: FrontPoint, confirmed: bool, axis: Axis) -> PlottedTrial:
    label, spread = _label(point.trial, point.method, point.config), point.confirmed_std if confirmed else None
    return PlottedTrial(point.size(axis), point.score(confirmed=confirmed), point.method, label, spread)


def _label(trial: str, method: str, config: dict[str, Any]) -> str:
    settings = "<br>".join(f"{knob} = {_setting(value)}" for knob, value in config.items())
    return f"<b>{trial} {method}</b><br>{settings}"


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _style(position: int) -> Style:
    marker, symbol = _SHAPES[(position + position // len(_COLOURS)) % len(_SHAPES)]
    return Style(_COLOURS[position % len(_COLOURS)], marker, symbol)


def _short(model: str) -> str:
    """Return a hub id as it is, and of a folder the last two names."""
    return "/".join(Path(model).parts[-2:]) if Path(model).is_absolute() else model
