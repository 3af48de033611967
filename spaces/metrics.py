"""The closed list of metrics: each with its direction and its perfect value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spaces.sections import Task

Mode = Literal["max", "min"]


@dataclass(frozen=True)
class Metric:
    """A measure of quality on one split; `perfect` is its best possible value."""

    name: str
    mode: Mode
    perfect: float
    tasks: frozenset[Task]

    def better(self, left: float, right: float) -> bool:
        """Whether `left` is strictly better than `right`."""
        return left > right if self.mode == "max" else left < right


_CLASSES = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.IMAGE_CLASSIFICATION})
_NUMBERS = frozenset({Task.REGRESSION})
_TEXT = frozenset({Task.CAUSAL_LM})

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "max", 1.0, _CLASSES),
        Metric("f1", "max", 1.0, _CLASSES),
        Metric("matthews", "max", 1.0, _CLASSES),
        Metric("pearson", "max", 1.0, _NUMBERS),
        Metric("spearman", "max", 1.0, _NUMBERS),
        Metric("exact-match", "max", 1.0, _TEXT),
        Metric("loss", "min", 0.0, _CLASSES | _NUMBERS | _TEXT),
        Metric("perplexity", "min", 1.0, _TEXT),
    )
}

DEFAULT_METRIC: dict[Task, str] = {
    Task.SEQUENCE_CLASSIFICATION: "accuracy",
    Task.IMAGE_CLASSIFICATION: "accuracy",
    Task.REGRESSION: "pearson",
    Task.CAUSAL_LM: "loss",
}
