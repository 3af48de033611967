"""Hypervolume against training steps: median and quartiles over the worlds, a row a task, a column a concurrency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.bench.replay.scores import Point, at

GRID = 200


def draw(curves: Mapping[tuple[str, int, str], Sequence[Sequence[Point]]], steps: int, path: Path) -> None:
    """Draw the curves of every (task, concurrent trials, policy) up to `steps`."""
    tasks, slots, policies = (list(dict.fromkeys(part)) for part in zip(*curves, strict=True))
    figure = Figure(figsize=(4.5 * len(slots), 4 * len(tasks)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(tasks), len(slots), squeeze=False, sharex=True, sharey="row")
    across = np.linspace(0, steps, GRID)
    for row, task in enumerate(tasks):
        for column, number in enumerate(slots):
            axes = panels[row, column]
            for policy in policies:
                heights = [[at(points, step) for step in across] for points in curves[task, number, policy]]
                low, middle, high = np.quantile(heights, (0.25, 0.5, 0.75), axis=0)
                (line,) = axes.plot(across, middle, label=policy, lw=1.4)
                axes.fill_between(across, low, high, color=line.get_color(), alpha=0.12, lw=0)
            axes.set_title(f"{task}, {number} at a time", fontsize=10)
            axes.grid(color="#EAEAEA")
    figure.supxlabel("training steps of all trials together", fontsize=10)
    figure.supylabel("hypervolume of the front, by true quality", fontsize=10)
    panels[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path)
