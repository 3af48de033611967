"""What a configuration comes to at every rung: Gaussian processes on the recorded table, one a rung.

Inputs stand in five groups, each with a length scale of its own, chosen by marginal likelihood: the trainable
parameters, the multiple of the method's learning rate, the method, the place on the model, and the method's own knobs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize
from scipy.stats import spearmanr

from spaces.methods.base.knobs import Choice, Knob, Value
from spaces.methods.base.method import Configuration, PlacedConfiguration
from spaces.methods.registry import method, methods
from spaces.model.inventory import Inventory, Kind, select
from tests.bench.replay.table import TabledTask

Array = npt.NDArray[np.float64]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Encoder:
    """A configuration as numbers; `groups` says which of them share a length scale."""

    inventory: Inventory

    @cached_property
    def _knobs(self) -> tuple[tuple[str, str, Knob], ...]:
        return tuple((name, knob, domain) for name, one in methods().items() for knob, domain in one.knobs.items())

    @cached_property
    def groups(self) -> Array:
        """For every input the number of its group."""
        sizes = (1, 1, len(methods()), len(KINDS), len(self._knobs))
        return np.repeat(np.arange(len(sizes)), sizes).astype(np.float64)

    def encode(self, name: str, configuration: Configuration, parameters: int) -> Array:
        """One row of inputs."""
        row = [math.log10(parameters), math.log2(configuration.learning_rate / method(name).learning_rate)]
        row += [float(name == other) for other in methods()]
        row += self._place(configuration)
        row += [
            _position(domain, getattr(configuration, knob)) if owner == name else 0.0
            for owner, knob, domain in self._knobs
        ]
        return np.array(row)

    def _place(self, configuration: Configuration) -> list[float]:
        """Of each kind of layer the part that is adapted; 0 for methods that have a place of their own."""
        if not isinstance(configuration, PlacedConfiguration):
            return [0.0] * len(KINDS)
        kinds = [layer.kind for layer in select(self.inventory, configuration.targets, configuration.layers)]
        return [kinds.count(kind) / self.inventory.blocks for kind in KINDS]


def _position(domain: Knob, value: Value) -> float:
    """Where a value lies within its knob, from 0 to 1."""
    if isinstance(domain, Choice):
        # A published default may be none of those that are searched.
        return domain.values.index(value) / max(1, len(domain.values) - 1) if value in domain.values else -1.0
    low, high, at = domain.low, domain.high, float(value)
    if domain.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)


@dataclass(frozen=True)
class Process:
    """A Gaussian process with a Matérn 3/2 kernel. `residuals`: of each row when all others predict it."""

    inputs: Array
    scales: Array
    mean: float
    weights: Array
    residuals: Array

    def predict(self, row: Array) -> float:
        """The posterior mean."""
        squared = (((self.inputs - row) / self.scales) ** 2).sum(axis=1)
        return float(self.mean + _kernel(squared) @ self.weights)


def _kernel(squared: Array) -> Array:
    distance = np.sqrt(3 * squared)
    kernel: Array = (1 + distance) * np.exp(-distance)
    return kernel


def fit(inputs: Array, groups: Array, values: Array) -> Process:
    """Fit length scales and noise by marginal likelihood, the variance by its closed form.

    Left-out residuals follow from the inverse of the covariance (Rasmussen and Williams 2006, equation 5.12).
    """
    rows, number = len(values), int(groups.max()) + 1
    centred = values - values.mean()
    apart = inputs[:, None, :] - inputs[None, :, :]
    squared = np.stack([(apart[:, :, groups == group] ** 2).sum(axis=2) for group in range(number)])

    def covariance(logarithms: Array) -> Array:
        scales = np.exp(-2 * logarithms[:number])
        noisy: Array = _kernel(np.tensordot(scales, squared, axes=1)) + np.exp(logarithms[number]) * np.eye(rows)
        return noisy

    def loss(logarithms: Array) -> float:
        factor = cholesky(covariance(logarithms), lower=True)
        fitted = centred @ cho_solve((factor, True), centred)
        prior = 0.05 * float((logarithms**2).sum())
        return float(0.5 * rows * math.log(fitted / rows) + np.log(np.diag(factor)).sum()) + prior

    start = np.append(np.zeros(number), -1.0)
    best = minimize(loss, start, method="L-BFGS-B", bounds=[(-3, 5)] * number + [(-6, 3)]).x
    inverse = np.linalg.inv(covariance(best))
    weights = inverse @ centred
    scales = np.exp(best[groups.astype(np.int64)])
    return Process(inputs, scales, float(values.mean()), weights, weights / np.diag(inverse))


@dataclass(frozen=True)
class Surrogate:
    """The processes of a task, one a rung."""

    task: TabledTask
    encoder: Encoder
    processes: tuple[Process, ...]

    def predict(self, name: str, configuration: Configuration, parameters: int) -> Array:
        """Expected quality at every rung."""
        row = self.encoder.encode(name, configuration, parameters)
        return np.array([process.predict(row) for process in self.processes])

    @cached_property
    def measured(self) -> Array:
        """Qualities of the table, a row a configuration and a column a rung."""
        return np.array([one.quality for one in self.task.first])

    @cached_property
    def residuals(self) -> Array:
        """Measured less predicted by all other configurations, in the same shape."""
        return np.stack([process.residuals for process in self.processes], axis=1)

    def explained(self) -> list[float]:
        """Share of the variance that is predicted, left out one at a time, at every rung."""
        return [float(1 - part) for part in (self.residuals**2).mean(axis=0) / self.measured.var(axis=0)]

    def ranked(self) -> list[float]:
        """Spearman's correlation of what is predicted so with what was measured, at every rung."""
        predicted = self.measured - self.residuals
        pairs: Sequence[tuple[Array, Array]] = list(zip(predicted.T, self.measured.T, strict=True))
        return [float(spearmanr(*pair).statistic) for pair in pairs]


def fit_surrogate(task: TabledTask, inventory: Inventory) -> Surrogate:
    """Fit on every configuration of a task, once each."""
    encoder = Encoder(inventory)
    inputs = np.stack([encoder.encode(one.method, one.configuration, one.parameters) for one in task.first])
    values = np.array([one.quality for one in task.first])
    return Surrogate(task, encoder, tuple(fit(inputs, encoder.groups, column) for column in values.T))
