"""Optuna's samplers, by their names in a spec."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import optuna
from optuna.samplers import BaseSampler

from spaces.spec.spec import SearchSpec

# All methods share method, share, targets, layers and the learning-rate multiplier, beside what the training varies.
SHARED_KNOBS = 5
SMALLEST_POPULATION = 4


def make_sampler(spec: SearchSpec, taken: int) -> BaseSampler:
    """Return the sampler of a study that holds `taken` trials, seeded so that a resume repeats no draw.

    With `tpe` and `gp` this sampler only fills parameters that the study of a size region left unset.
    """
    seed = int(np.random.SeedSequence((spec.search.seed, taken)).generate_state(1)[0])
    with _without_experimental_warnings():
        return _SAMPLERS.get(spec.search.sampler, _random)(spec, seed)


def regional_sampler(spec: SearchSpec) -> Callable[[int], BaseSampler] | None:
    """Return the maker, from a seed, of samplers for a size region; None where the study's own sampler decides."""
    return _REGIONAL.get(spec.search.sampler)


def tpe(seed: int) -> BaseSampler:
    """Return a tree-structured Parzen estimator.

    `group` models the knobs that only one method has among the trials of that method.
    """
    with _without_experimental_warnings():
        return optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed)


def gp(seed: int) -> BaseSampler:
    """Return a Gaussian process over the knobs that all methods share; a method's own knobs are drawn at random."""
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
    """Return NSGA-II with a fifth of the trials as a generation.

    Its usual mutation probability is one over the number of knobs that Optuna finds in all trials. That is the method
    alone, so the probability would be 1: random search.
    """
    population = max(SMALLEST_POPULATION, spec.search.trials // 5)
    knobs = SHARED_KNOBS + len(spec.training.knobs)
    return optuna.samplers.NSGAIISampler(population_size=population, mutation_prob=1 / knobs, seed=seed)


def _qmc(spec: SearchSpec, seed: int) -> BaseSampler:
    """Return a quasi-Monte Carlo sampler.

    Its sequence goes on where the study's last trial left it, so the seed is the search's own.
    """
    return optuna.samplers.QMCSampler(
        scramble=True, seed=spec.search.seed, warn_independent_sampling=False, warn_asynchronous_seeding=False
    )


_SAMPLERS: dict[str, Callable[[SearchSpec, int], BaseSampler]] = {
    "random": _random,
    "nsga2": _nsga2,
    "qmc": _qmc,
}
_REGIONAL: dict[str, Callable[[int], BaseSampler]] = {"tpe": tpe, "gp": gp}
