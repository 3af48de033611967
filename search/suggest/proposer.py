"""The proposer of trials: it picks a size that the front lacks, then draws knobs from trials of about that size."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from search.suggest.published_defaults import OWN, THIN, PublishedDefaults
from search.suggest.size_region import RegionTrial, nearest, regional_study
from search.suggest.study_trials import PUBLISHED
from spaces.pareto.front import front
from spaces.pareto.gaps import draw_size, gaps
from spaces.space.proposal import Proposal, Rejected
from spaces.space.search_space import Space
from spaces.spec.metrics import Metric, Mode
from spaces.trials.records import Rung, TrialPlan, TrialResult

WIDE = 3.0
"""Standard errors behind the front from which on a trial is far behind, and trials like it are not tried again."""

ALIKE_SIZE, ALIKE_RATE = 1.25, 1.5
"""Factors of trainable parameters and of learning rate within which trials of one method and place are alike."""

DRAWS, SIZES = 5, 2
"""Draws at one size while they are like a trial far behind, and sizes tried so before the last draw is taken."""

Noise = Callable[[float], float]
_Place = tuple[str, ...]
"""A method, its targets and layers, and what the search varies by name in the training, such as the optimizer."""

SamplerOf = Callable[[int], BaseSampler]


@dataclass(frozen=True)
class Measure:
    """A number by which trials are compared at one step: its direction, its standard error, and its place in a rung."""

    mode: Mode
    noise: Noise
    of: Callable[[Rung], float]


def _quality(rung: Rung) -> float:
    return math.nan if rung.quality is None else rung.quality


class Proposer:
    """Proposes the trials of a study.

    Enqueued trials come first: configurations from the spec, then those that a killed driver left. Next, the published
    default of each method comes twice, in turns: at its published size, which is near the budget for most, and at a
    size that the front lacks. From then on Optuna draws.

    The size of a trial is known before it is trained, so it is chosen and not learned: within the gaps of the front,
    counting the running trials. Optuna's sampler draws the other knobs from the trials of about that size, by quality
    alone. A configuration that cannot have the size, or is like a trial that ended far behind the front at its size, is
    drawn again.

    Args:
        study: The study of the search, of two objectives: quality and trainable parameters.
        space: The search space.
        metric: Of the quality.
        max_steps: Steps of a full trial, whose front has the gaps.
        sampler_of: Makes a sampler from a seed; None where the study's own sampler decides all knobs, the size too.
        noise: The standard error of a quality.
        seed: Of sizes and samplers.
        at_rungs: Compares trials before their last step. Default: the quality, as at the end.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        metric: Metric,
        *,
        max_steps: int,
        sampler_of: SamplerOf | None,
        noise: Noise,
        seed: int,
        at_rungs: Measure | None = None,
    ) -> None:
        self.study = study
        self.space = space
        self._metric = metric
        self._max_steps = max_steps
        self._sampler_of = sampler_of
        self._at_the_end = Measure(metric.mode, noise, _quality)
        self._at_rungs = at_rungs or self._at_the_end
        self._seed = seed
        self._reference: float | None = None
        self._running: dict[str, RegionTrial] = {}
        # Decimal logarithms of sizes, ascending, each with the trial's place in the order of planning.
        self._sizes: list[float] = []
        self._by_size: list[tuple[int, RegionTrial]] = []
        self._far_behind: dict[_Place, list[tuple[int, float]]] = defaultdict(list)
        self._fronts: dict[int, list[tuple[float, float]]] = defaultdict(list)
        trials = study.get_trials(deepcopy=False)
        self._defaults = PublishedDefaults(space, trials, seed, elsewhere=sampler_of is not None)
        self._waiting = sum(trial.state is TrialState.WAITING for trial in trials)
        # Seeds follow the number of asks, without the trials that still wait, so a resumed search repeats no draw.
        self._asked = len(trials) - self._waiting

    def ask(self) -> optuna.Trial:
        """Return the next trial, which is RUNNING in the study from now on."""
        self._asked += 1
        if self._waiting:
            self._waiting -= 1
            return self.study.ask()
        generator = np.random.default_rng((self._seed, self._asked))
        turn = self._defaults.turn(len(self._by_size))
        marked = {} if turn is None else {PUBLISHED: turn}
        default = self._default(turn, generator)
        if default is not None:
            self.study.enqueue_trial(default, user_attrs=marked)
        if default is not None or self._sampler_of is None:
            return self.study.ask()
        drawn = self._drawn(self._sampler_of, generator)
        # Added whole: suggested one by one, each knob would cost as much time in the storage as all of them together.
        # Only the private id opens a trial that was added; `ask` after `enqueue_trial` would suggest one by one.
        self.study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=drawn.params,
                distributions=drawn.distributions,
                user_attrs=marked,
            )
        )
        return optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[-1]._trial_id)

    def _default(self, turn: str | None, generator: np.random.Generator) -> dict[str, Any] | None:
        if turn == OWN:
            return self._defaults.own()
        return self._defaults.at(self.space.share_of(self._size(generator))) if turn == THIN else None

    def begun(self, plan: TrialPlan, knobs: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> None:
        """Note that a trial was planned."""
        trial = RegionTrial(knobs, distributions, plan.trainable_parameters)
        size = math.log10(max(1, plan.trainable_parameters))
        position = bisect_right(self._sizes, size)
        self._sizes.insert(position, size)
        self._by_size.insert(position, (len(self._by_size), trial))
        self._running[plan.trial] = trial

    def ended(self, plan: TrialPlan, result: TrialResult) -> None:
        """Learn from the end of a training; of the reference, too."""
        if plan.kind == "reference" and result.quality is not None and math.isfinite(result.quality):
            self._reference = result.quality
        if plan.kind != "trial":
            return
        tried = self._running.pop(plan.trial)
        compared = {rung.step: self._at(rung.step).of(rung) for rung in result.rungs}
        if result.state == "finished" and result.quality is not None:
            compared[self._max_steps] = result.quality  # also of one that ended early
        # A perplexity may be infinite: such a trial counts as failed, and its rungs are not compared.
        failed = result.state == "failed" or not all(map(math.isfinite, compared.values()))
        tried.state = "failed" if failed else result.state
        if not failed:
            tried.quality = result.quality
            tried.rungs = {step: self._upright(step, value) for step, value in compared.items()}
        for step, value in compared.items() if not failed else ():
            known = [*self._fronts[step], (value, float(plan.trainable_parameters))]
            self._fronts[step] = front(known, lambda one: one[0], lambda one: one[1], self._at(step).mode)
        if failed or (compared and self._behind(plan, *max(compared.items())) > WIDE):
            place = _place(plan.method, plan.config, plan.training)
            self._far_behind[place].append((plan.trainable_parameters, plan.config["learning_rate"]))

    def _at(self, step: int) -> Measure:
        """Return the measure that compares trials at a step."""
        return self._at_the_end if step >= self._max_steps else self._at_rungs

    def _upright(self, step: int, value: float) -> float:
        """Return a number at a rung with the sign that makes it as good as a quality of that size."""
        return value if self._at(step).mode == self._metric.mode else -value

    def _behind(self, plan: TrialPlan, step: int, value: float) -> float:
        """Return by how many standard errors the best trial of at most as many parameters is better at a step."""
        best = [one for one, size in self._fronts[step] if size <= plan.trainable_parameters][-1]
        noise = self._at(step).noise
        return abs(best - value) / max(math.hypot(noise(best), noise(value)), 1e-12)

    def _drawn(self, sampler_of: SamplerOf, generator: np.random.Generator) -> optuna.Trial:
        for state in np.random.SeedSequence((self._seed, self._asked)).generate_state(SIZES):
            drawn, promising = self._drawn_at(self._size(generator), sampler_of(int(state)))
            if promising:
                break
        return drawn

    def _drawn_at(self, size: float, sampler: BaseSampler) -> tuple[optuna.Trial, bool]:
        """Return a trial of about `size` parameters, and whether it is unlike every trial far behind."""
        study = regional_study(self._region(size), self._metric.mode, sampler)
        for _ in range(DRAWS):
            study.enqueue_trial({"share": self.space.share_of(size)})
            trial = study.ask()
            try:
                if not self._is_like_one_far_behind(self.space.propose(trial)):
                    return trial, True
            except Rejected as rejection:
                trial.set_constraint("budget", rejection.excess)
            study.tell(trial, state=TrialState.PRUNED)
        return trial, False

    def _region(self, size: float) -> list[RegionTrial]:
        """Return the trials of about `size` parameters, in the order in which they were planned."""
        found = [self._by_size[position] for position in nearest(self._sizes, math.log10(size))]
        return [tried for _, tried in sorted(found, key=lambda item: item[0])]

    def _size(self, generator: np.random.Generator) -> float:
        budget = self.space.budget
        found = self._fronts[self._max_steps]
        lowest = self._reference if self._reference is not None else found[0][0] if found else 0.0
        running = [one.parameters for one in self._running.values()]
        limits = {"at_least": budget.at_least, "budget": budget.parameters}
        return draw_size(gaps(found, running, reference=lowest, **limits), generator)

    def _is_like_one_far_behind(self, proposal: Proposal) -> bool:
        """Return whether a trial of this method and place ended far behind with about this size and learning rate."""
        settings = proposal.settings
        size, rate = max(1, proposal.count.trainable_parameters), settings["learning_rate"]
        return any(
            abs(math.log(size / max(1, parameters))) <= math.log(ALIKE_SIZE)
            and abs(math.log(rate / known)) <= math.log(ALIKE_RATE)
            for parameters, known in self._far_behind.get(_place(proposal.method, settings, proposal.training), ())
        )


def _place(method: str, settings: Mapping[str, Any], training: Mapping[str, Any]) -> _Place:
    named = (f"{name} {value}" for name, value in sorted(training.items()) if isinstance(value, str))
    return method, str(settings.get("targets")), str(settings.get("layers")), *named
