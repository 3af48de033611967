"""Optuna's samplers by their names in a spec."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from spaces.spec.spec import SearchSpec

# All methods share method, share, targets, layers and the learning-rate multiplier.
SHARED_KNOBS = 5
SMALLEST_POPULATION = 4


def make_sampler(spec: SearchSpec, taken: int) -> BaseSampler:
    """The sampler of a study in which `taken` trials exist: a resume does not draw the same ones again.

    Where a search draws the knobs from trials of about one size, it is asked for nothing but what that left open.
    """
    seed = int(np.random.SeedSequence((spec.search.seed, taken)).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _SAMPLERS.get(spec.search.sampler, _random)(spec, seed)


def regional_sampler(spec: SearchSpec) -> Callable[[int], BaseSampler] | None:
    """Makes, from a seed, what draws the knobs from trials of about one size; None where the study's own does."""
    return _REGIONAL.get(spec.search.sampler)


def tpe(seed: int) -> BaseSampler:
    """`group`: knobs that only one method has are modelled among the trials of that method."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def gp(seed: int) -> BaseSampler:
    """Models the knobs that all methods share; a method's own are drawn at random."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


def _random(spec: SearchSpec, seed: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def _nsga2(spec: SearchSpec, seed: int) -> BaseSampler:
    """A fifth of the trials are a generation.

    The usual mutation probability is one over the number of knobs that all trials share; with one of them, the method,
    it would be 1: random search.
    """
    population = max(SMALLEST_POPULATION, spec.search.trials // 5)
    return optuna.samplers.NSGAIISampler(population_size=population, mutation_prob=1 / SHARED_KNOBS, seed=seed)


def _qmc(spec: SearchSpec, seed: int) -> BaseSampler:
    """The sequence goes on where the study's last trial left it, so its seed is the search's own."""
    return optuna.samplers.QMCSampler(
        scramble=True, seed=spec.search.seed, warn_independent_sampling=False, warn_asynchronous_seeding=False
    )


_SAMPLERS: dict[str, Callable[[SearchSpec, int], BaseSampler]] = {
    "random": _random,
    "nsga2": _nsga2,
    "qmc": _qmc,
}
_REGIONAL: dict[str, Callable[[int], BaseSampler]] = {"tpe": tpe, "gp": gp}
