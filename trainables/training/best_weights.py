"""The best evaluation of a training, with the weights that the model had then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces.spec.metrics import Metric
from trainables.evaluation.predictions import Measured
from trainables.training.loop import Tensors, Training


@dataclass(frozen=True)
class Best:
    """The best evaluation.

    Attributes:
        step: its step.
        compared: the number by which it is the best.
        measured: its quality on validation; None if that is measured later, with these weights.
        weights: the weights of the model.
    """

    step: int
    compared: float
    measured: Measured | None
    weights: Tensors


class BestWeights:
    """Keeps the best evaluation so far, the first of equal ones, in the host's memory.

    Args:
        metric: the metric that decides.
    """

    def __init__(self, metric: Metric) -> None:
        self.found: Best | None = None
        self._metric = metric

    def offer(self, training: Training, compared: float, measured: Measured | None) -> bool:
        """Take an evaluation of `training` as it is now, and return whether it is the best so far.

        Args:
            training: the training.
            compared: the number by which evaluations are compared.
            measured: its quality on validation, if that was measured.
        """
        if self.found is not None and not self._metric.better(compared, self.found.compared):
            return False
        self.found = Best(training.step, compared, measured, training.weights())
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the best evaluation as plain values and tensors, for a checkpoint."""
        if self.found is None:
            return {}
        measured = self.found.measured
        return {**vars(self.found), "measured": None if measured is None else vars(measured).copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        if state:
            weights = {name: tensor.to("cpu") for name, tensor in state["weights"].items()}
            measured = None if state["measured"] is None else Measured(**state["measured"])
            self.found = Best(state["step"], state["compared"], measured, weights)
