"""The best evaluation of a training, with the weights that the model had then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from spaces.spec.metrics import Metric
from trainables.training.loop import Tensors, Training


@dataclass(frozen=True)
class Best:
    """The best evaluation.

    Attributes:
        step: its step.
        quality: its quality.
        row_values: its quality by validation row, packed.
        weights: the weights of the model.
    """

    step: int
    quality: float
    row_values: str | None
    weights: Tensors


class BestWeights:
    """Keeps the best evaluation so far, the first of equal ones, in the host's memory."""

    def __init__(self, metric: Metric) -> None:
        self.found: Best | None = None
        self._metric = metric

    def offer(self, training: Training, quality: float, row_values: Callable[[], str | None]) -> bool:
        """Take an evaluation of `training` as it is now, and return whether it is the best so far.

        Args:
            training: the training.
            quality: its quality.
            row_values: returns the quality by validation row, packed; called for the best alone.
        """
        if self.found is not None and not self._metric.better(quality, self.found.quality):
            return False
        self.found = Best(training.step, quality, row_values(), training.weights())
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the best evaluation as plain values and tensors, for a checkpoint."""
        return {} if self.found is None else vars(self.found).copy()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        if state:
            weights = {name: tensor.to("cpu") for name, tensor in state["weights"].items()}
            self.found = Best(**{**state, "weights": weights})
