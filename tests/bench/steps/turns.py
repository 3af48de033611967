"""Competitors take turns, so that what else the machine does falls on all alike; ratios within each round."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from tests.bench.steps.competitors import FROZEN, Competitor
from tests.bench.steps.stages import Stage
from tests.bench.steps.step import Step, steps_of

_WARM_UP = 2
Rows = dict[str, dict[str, Any]]


def measure(stage: Stage, competitors: Mapping[str, Competitor], rounds: int) -> Rows:
    """Of each competitor: what it trains, its ratio to the frozen limit with quartiles, and its goal."""
    steps = steps_of(stage, competitors)
    seconds = taken(steps, rounds)
    rows: Rows = {}
    for name, values in seconds.items():
        low, ratio, high = statistics.quantiles(_ratios(seconds, name, FROZEN), n=4)
        rows[name] = {"parameters": steps[name].parameters, "ratio": ratio, "low": low, "high": high}
        rows[name]["seconds"] = statistics.median(values)
        goal = competitors[name].goal if name in competitors else None
        if goal is not None:
            found = statistics.median(_ratios(seconds, name, goal.to))
            rows[name]["goal"] = {"to": goal.to, "ratio": goal.ratio, "found": found, "met": found <= goal.ratio}
    return rows


def _ratios(seconds: Mapping[str, list[float]], name: str, to: str) -> list[float]:
    """Within each round, for the pace of a machine changes between them."""
    return [one / other for one, other in zip(seconds[name], seconds[to], strict=True)]


def taken(steps: Mapping[str, Step], rounds: int) -> dict[str, list[float]]:
    """Seconds of each step in each round, after a warm-up; who follows whom changes from round to round."""
    order, drawn = list(steps), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(_WARM_UP + rounds):
        drawn.shuffle(order)
        for name in order:
            one = steps[name].run()
            if turn >= _WARM_UP:
                seconds[name].append(one)
    return seconds


def table(title: str, rows: Rows) -> Table:
    """`rows` to be read."""
    made = Table(title=title)
    columns = ("method", "trained", "ratio to frozen", "quartiles", "goal", "found", "met")
    for column in columns:
        made.add_column(column, justify="left" if column in ("method", "goal") else "right")
    for name, row in rows.items():
        goal = row.get("goal")
        asked = ("", "", "")
        if goal is not None:
            asked = (f"≤ {goal['ratio']:.2f} of {goal['to']}", f"{goal['found']:.3f}", "yes" if goal["met"] else "no")
        quartiles = f"{row['low']:.2f} … {row['high']:.2f}"
        made.add_row(name, f"{row['parameters']:,}", f"{row['ratio']:.3f}", quartiles, *asked)
    return made
