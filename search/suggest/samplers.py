"""Optuna's samplers by their names in a spec."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    with _without_experimental_warnings():
        return _SAMPLERS.get(spec.search.sampler, _random)(spec, seed)


def regional_sampler(spec: SearchSpec) -> Callable[[int], BaseSampler] | None:
    """Makes, from a seed, what draws the knobs from trials of about one size; None where the study's own does."""
    return _REGIONAL.get(spec.search.sampler)


def tpe(seed: int) -> BaseSampler:
    """`group`: knobs that only one method has are modelled among the trials of that method."""
    with _without_experimental_warnings():
        return optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def gp(seed: int) -> BaseSampler:
    """Models the knobs that all methods share; a method's own are drawn at random."""
    with _without_experimental_warnings():
        return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


@contextmanager
def _without_experimental_warnings() -> Iterator[None]:
    """Silence Optuna's notes on its own experimental options; users can do nothing about them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


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
