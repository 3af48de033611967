"""A world that a search may find itself in: what the surrogate knows, with what it does not know drawn at random."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spaces.methods.registry import configuration
from spaces.space.proposal import signature
from spaces.trials.records import TrialPlan
from tests.bench.replay.simulation import Outcome
from tests.bench.replay.surrogate import Array, Surrogate

NEIGHBOURS = 15
"""Configurations of the table, nearest in predicted quality, from which the unexplained part of another is drawn."""

REPEATED_NEIGHBOURS = 4
"""The same for those with several seeds, from which the noise is drawn."""

PACE_SPREAD = 0.2
"""Standard deviation of the logarithm of the time a step takes, so that trials do not reach their rungs together."""


@dataclass(frozen=True)
class Noise:
    """How measured qualities of one configuration differ from seed to seed; rows belong together across rungs."""

    means: Array
    differences: Array

    @property
    def deviations(self) -> Array:
        """Standard deviation at every rung, pooled."""
        found: Array = np.sqrt((self.differences**2).mean(axis=(0, 1)))
        return found


def noise_of(surrogate: Surrogate) -> Noise:
    """From the configurations with as many seeds as most; the differences are scaled to be unbiased."""
    most = max(len(group) for group in surrogate.task.repeats)
    whole = np.array(
        [[one.quality for one in group] for group in surrogate.task.repeats if len(group) == most]
    )  # configurations × seeds × rungs
    means = whole.mean(axis=1)
    return Noise(means[:, -1], (whole - means[:, None, :]) * math.sqrt(most / (most - 1)))


@dataclass(frozen=True)
class World:
    """Outcomes of trials, the same every time for a seed.

    A configuration's true quality is the surrogate's and a residual of a similar configuration, whole across rungs and
    scaled to what noise does not explain of it. What is measured has the difference of another seed on top.
    """

    surrogate: Surrogate
    noise: Noise
    seed: int

    @cached_property
    def _own(self) -> Array:
        """Part of a residual that belongs to the configuration, at every rung."""
        unexplained = (self.surrogate.residuals**2).mean(axis=0)
        own: Array = np.sqrt(np.clip(1 - self.noise.deviations**2 / unexplained, 0, 1))
        return own

    @cached_property
    def _predicted(self) -> Array:
        predicted: Array = (self.surrogate.measured - self.surrogate.residuals)[:, -1]
        return predicted

    def __call__(self, plan: TrialPlan) -> Outcome:
        """What a planned trial would come to."""
        name = signature(plan.method, plan.config)
        generator = np.random.default_rng((self.seed, zlib.crc32(name.encode())))
        chosen = configuration(plan.method, plan.config)
        expected = self.surrogate.predict(plan.method, chosen, plan.trainable_parameters)
        near = np.argsort(np.abs(self._predicted - expected[-1]))[:NEIGHBOURS]
        true = np.clip(expected + self._own * self.surrogate.residuals[generator.choice(near)], 0, 1)
        similar = np.argsort(np.abs(self.noise.means - true[-1]))[:REPEATED_NEIGHBOURS]
        seeds = self.noise.differences[generator.choice(similar)]
        rows = self.surrogate.task.validation_rows
        measured = np.round(np.clip(true + generator.choice(seeds), 0, 1) * rows) / rows
        pace = math.exp(PACE_SPREAD * generator.standard_normal())
        return Outcome(tuple(map(float, measured)), float(true[-1]), pace)
