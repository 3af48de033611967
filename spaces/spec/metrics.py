"""The metrics, each with its direction and its perfect value: a closed list, and those of other packages."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from spaces.entry_points import with_installed
from spaces.spec.own_metric import is_own
from spaces.spec.sections import WRITING, ObjectiveSection, Task
from spaces.spec.sections import Mode as Mode

GROUP = "paretune.metrics"


@dataclass(frozen=True)
class Metric:
    """A measure of quality on one split; `perfect` is its best possible value.

    `score`: of a metric from another package, the function of predictions and references, NumPy arrays of shape
    (examples,): class positions, or numbers for regression. Built-in metrics have none here; theirs are in
    `trainables.evaluation`. `of_scores`: it is computed from a score of every class, not from the decisions. The
    function of a user's own metric is looked up by its name, where it is needed: `spaces.spec.own_metric`.
    """

    name: str
    mode: Mode
    perfect: float
    tasks: frozenset[Task]
    score: Callable[[Any, Any], float] | None = field(default=None, compare=False)
    of_scores: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is a function of the user's own, named module:function."""
        return is_own(self.name)

    @property
    def known_by_row(self) -> bool:
        """Whether its values by row are known, as those of built-in metrics are."""
        return self.score is None and not self.is_own

    def better(self, left: float, right: float) -> bool:
        """Return whether `left` is strictly better than `right`."""
        return left > right if self.mode == "max" else left < right


def standard_error(metric: Metric, quality: float, rows: int) -> float:
    """Return the approximate standard error of a quality that was measured on `rows` examples.

    For shares of examples it is that of a binomial, √(q (1 − q) / n); for correlations that of Fisher's transformation,
    (1 − q²) / √n. The error of a mean loss is its value over √n, as if the losses of examples were exponentially
    distributed; that of a perplexity is the error of its logarithm times the perplexity. For metrics of written
    answers it is at most that of a share, because the values of rows lie between nothing and perfect.

    A user's own metric is taken for a mean of values between nothing and perfect if it lies there and more is better,
    else for a mean of distances to perfect that are exponentially distributed.
    """
    if metric.is_own and not (metric.mode == "max" and 0 <= quality <= metric.perfect):
        return abs(metric.perfect - quality) / math.sqrt(rows)
    if metric.name in ("pearson", "spearman", "matthews"):
        return (1 - min(1.0, quality * quality)) / math.sqrt(rows)
    if metric.name == "loss":
        return abs(quality) / math.sqrt(rows)
    if metric.name == "perplexity":
        return quality * abs(math.log(max(1.0, quality))) / math.sqrt(rows)
    perfect = metric.perfect if metric.name in OF_TEXTS or metric.is_own else 1.0
    share = min(1.0, max(0.0, quality / perfect)) if perfect else 0.0
    return perfect * math.sqrt(share * (1 - share) / rows)


_CLASSES = frozenset({Task.SEQUENCE_CLASSIFICATION, Task.IMAGE_CLASSIFICATION})
_SETS = frozenset({Task.MULTI_LABEL_CLASSIFICATION})
_TAGS = frozenset({Task.TOKEN_CLASSIFICATION})
_NUMBERS = frozenset({Task.REGRESSION})
_TEXT = WRITING

OF_WRITTEN = frozenset({"numeric-match", "token-f1", "rouge-l", "bleu", "chrf"})
"""The metrics that need written answers."""

OF_TEXTS = OF_WRITTEN | {"exact-match"}
"""The metrics that may compare written answers."""

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "max", 1.0, _CLASSES | _SETS | _TAGS),
        Metric("f1", "max", 1.0, _CLASSES),
        Metric("f1-macro", "max", 1.0, _CLASSES | _SETS | _TAGS),
        Metric("f1-micro", "max", 1.0, _CLASSES | _SETS | _TAGS),
        Metric("auc", "max", 1.0, _CLASSES | _SETS, of_scores=True),
        Metric("matthews", "max", 1.0, _CLASSES | _TAGS),
        Metric("seqeval-f1", "max", 1.0, _TAGS),
        Metric("pearson", "max", 1.0, _NUMBERS),
        Metric("spearman", "max", 1.0, _NUMBERS),
        Metric("exact-match", "max", 1.0, _TEXT),
        Metric("numeric-match", "max", 1.0, _TEXT),
        Metric("token-f1", "max", 1.0, _TEXT),
        Metric("rouge-l", "max", 1.0, _TEXT),
        Metric("bleu", "max", 100.0, _TEXT),
        Metric("chrf", "max", 100.0, _TEXT),
        Metric("loss", "min", 0.0, _CLASSES | _SETS | _TAGS | _NUMBERS | _TEXT),
        Metric("perplexity", "min", 1.0, _TEXT),
    )
}


@cache
def known_metrics() -> dict[str, Metric]:
    """Return every metric by its name, those of other packages last.

    Raises:
        RequestError: when a package that brings metrics is broken.
    """
    return with_installed(METRICS.values(), GROUP, "METRICS", Metric)


def metric_of(objective: ObjectiveSection, task: Task) -> Metric:
    """Return the metric of an objective; no module of a user's own metric is imported.

    Until a search has begun, the direction of such a metric may be that of the function alone, which is not known here.
    """
    name = objective.metric or DEFAULT_METRIC[task]
    if not is_own(name):
        return known_metrics()[name]
    mode = objective.mode or "max"
    perfect = objective.perfect if objective.perfect is not None else float(mode == "max")
    return Metric(name, mode, perfect, frozenset(Task))


DEFAULT_METRIC: dict[Task, str] = {
    Task.SEQUENCE_CLASSIFICATION: "accuracy",
    Task.IMAGE_CLASSIFICATION: "accuracy",
    Task.MULTI_LABEL_CLASSIFICATION: "f1-micro",
    Task.TOKEN_CLASSIFICATION: "seqeval-f1",
    Task.REGRESSION: "pearson",
    Task.CAUSAL_LM: "loss",
    Task.SEQ2SEQ_LM: "loss",
}
