"""What a study is asked for: sizes that the front lacks, knobs of trials of such sizes, nothing far behind again."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.suggest.proposer import ALIKE_RATE, ALIKE_SIZE, DRAWS, SIZES, Proposer
from search.suggest.samplers import tpe
from search.suggest.searcher import plan_of
from search.suggest.study_trials import PUBLISHED
from spaces.methods.base.knobs import Suggester
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.proposal import Proposal, Rejected
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from spaces.spec.metrics import METRICS
from spaces.trials.records import Rung, State, TrialResult

METHODS = {"lora": {}, "sparta": {}, "dst": {}}
STEPS = 9


class Asked:
    """An proposer with its study, driven as the searcher does."""

    def __init__(self, inventory: Inventory, seed: int = 0) -> None:
        self.space = Space(METHODS, inventory, Budget(100_000, 100))
        self.study = optuna.create_study(directions=["maximize", "minimize"])
        self.proposer = Proposer(
            self.study,
            self.space,
            METRICS["accuracy"],
            max_steps=STEPS,
            sampler_of=tpe,
            noise=lambda quality: 0.01,
            seed=seed,
        )
        self.planned = 0

    def ask(self) -> Proposal:
        self.trial = self.proposer.ask()
        return self.space.propose(self.trial)

    def end(self, proposal: Proposal, quality: float, state: State = "finished", step: int = STEPS) -> None:
        plan = plan_of(f"{self.planned:04d}", proposal, self.space.budget, dict(self.trial.params), 0)
        self.planned += 1
        self.proposer.begun(plan, self.trial.params, self.trial.distributions)
        if state != "running":
            rungs = (Rung(step=step, quality=quality),)
            last = quality if state == "finished" else None
            self.proposer.ended(plan, TrialResult(state=state, quality=last, steps=step, rungs=rungs))


def sizes(asked: Asked, times: int) -> list[int]:
    return [asked.ask().count.trainable_parameters for _ in range(times)]


def test_a_drawn_trial_is_whole_in_the_study_as_soon_as_it_is_asked_for(inventory: Inventory) -> None:
    """So it is written once; what is proposed from it adds no knob and changes none."""
    asked = Asked(inventory)
    for _ in range(2 * len(METHODS)):
        asked.end(asked.ask(), 0.6)  # the defaults
    for _ in range(5):
        trial = asked.proposer.ask()
        (stored,) = [one for one in asked.study.trials if one.number == trial.number]
        assert stored.state is TrialState.RUNNING
        proposal = asked.space.propose(trial)
        assert asked.study.trials[trial.number].params == stored.params
        assert stored.params["method"] == proposal.method
        asked.trial = trial
        asked.end(proposal, 0.5)


@pytest.mark.parametrize("step", [STEPS, 3])
def test_sizes_lie_where_the_front_is_thin(inventory: Inventory, step: int) -> None:
    """A trial that ended early is on the front as well."""
    asked = Asked(inventory)
    # Up to 1,000 parameters the front is as good as at 100,000 but for the step between 10,000 and 50,000.
    for size, quality in ((100, 0.60), (1_000, 0.601), (10_000, 0.602), (50_000, 0.9)):
        asked.study.enqueue_trial({"method": "sparta", "share": size / 100_000})
        asked.trial = asked.study.ask()
        asked.end(asked.space.propose(asked.trial), quality, step=step)
    drawn = np.array(sizes(asked, 60))
    assert ((drawn > 9_000) & (drawn < 51_000)).mean() > 0.5
    assert (drawn < 51_000).mean() < 1  # no size is left out for good


def test_the_sizes_of_what_runs_are_left_out(inventory: Inventory) -> None:
    asked = Asked(inventory)
    asked.end(asked.ask(), 0.8)
    drawn = []
    for _ in range(8):  # nothing of it ends
        proposal = asked.ask()
        drawn.append(math.log10(proposal.count.trainable_parameters))
        asked.end(proposal, 0.0, "running")
    assert min(np.diff(sorted(drawn))) > 0


def test_what_waits_comes_first(inventory: Inventory) -> None:
    space = Space(METHODS, inventory, Budget(100_000, 100))
    study = optuna.create_study(directions=["maximize", "minimize"])
    waiting = ["dst", "sparta"]
    for name in waiting:
        study.enqueue_trial(space.published_at(name, 0.01) or {})
    metric = METRICS["accuracy"]
    proposer = Proposer(study, space, metric, max_steps=STEPS, sampler_of=tpe, noise=lambda quality: 0.01, seed=0)
    assert [space.propose(proposer.ask()).method for _ in waiting] == waiting
    space.propose(proposer.ask())
    assert TrialState.WAITING not in [trial.state for trial in study.trials]


def test_each_methods_published_default_is_asked_for_twice_in_turns(inventory: Inventory) -> None:
    asked = Asked(inventory)
    proposals = []
    for _ in range(2 * len(METHODS)):
        proposals.append(asked.ask())
        asked.end(proposals[-1], 0.6 + len(proposals) / 100)
    own = [asked.space.propose(FixedSuggester(knobs)) for knobs in asked.space.published()]
    assert proposals[::2] == own
    assert sorted(one.method for one in proposals[1::2]) == sorted(METHODS)
    for one in (other for other in proposals[1::2] if other.method != "lora"):  # which has no size so small
        default = next(other for other in own if other.method == one.method).settings
        alike = ("targets", "layers", "optimizer", "reselection_interval")
        assert {name: one.settings.get(name) for name in alike} == {name: default.get(name) for name in alike}
    logarithms = [math.log10(one.count.trainable_parameters) for one in proposals[1::2]]
    assert max(logarithms) - min(logarithms) > 0.5  # over the range, where the others stand near its end
    drawn = asked.ask()
    assert PUBLISHED not in asked.trial.user_attrs
    assert drawn not in proposals


def test_nothing_like_a_trial_far_behind_is_asked_for(inventory: Inventory) -> None:
    asked = Asked(inventory, seed=3)
    asked.study.enqueue_trial({"method": "sparta", "share": 0.001})
    asked.trial = asked.study.ask()
    asked.end(asked.space.propose(asked.trial), 0.9)
    behind = []
    for _ in range(40):
        proposal = asked.ask()
        asked.end(proposal, 0.6)
        behind.append(proposal)
    again = [asked.ask() for _ in range(20)]
    assert not any(alike(one, other) for one in again for other in behind)


def alike(one: Proposal, other: Proposal) -> bool:
    def near(left: float, right: float, factor: float) -> bool:
        return max(left, right) <= factor * min(left, right)

    return (
        one.method == other.method
        and all(one.settings.get(place) == other.settings.get(place) for place in ("targets", "layers"))
        and near(one.count.trainable_parameters, other.count.trainable_parameters, ALIKE_SIZE)
        and near(one.settings["learning_rate"], other.settings["learning_rate"], ALIKE_RATE)
    )


def test_a_trial_within_the_noise_of_the_front_is_not_far_behind(inventory: Inventory) -> None:
    asked = Asked(inventory)
    asked.end(asked.ask(), 0.9)
    for _ in range(6):
        asked.end(asked.ask(), 0.87)
    assert not asked.proposer._far_behind


@pytest.mark.parametrize("quality", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_a_quality_that_is_no_number_is_that_of_a_failed_trial(
    inventory: Inventory, quality: float, state: State
) -> None:
    asked = Asked(inventory)
    for _ in range(3):
        asked.end(asked.ask(), quality, state)
    asked.end(asked.ask(), 0.9)
    asked.end(asked.ask(), 0.6)
    tried = [one for _, one in sorted(asked.proposer._by_size, key=lambda item: item[0])]
    assert [one.state for one in tried] == ["failed"] * 3 + ["finished"] * 2
    assert all(not one.rungs for one in tried if one.state == "failed")
    asked.ask()


@pytest.mark.parametrize(("errors", "far"), [(2.5, 0), (3.5, 1)])
def test_far_behind_is_more_than_three_standard_errors_of_the_difference(
    inventory: Inventory, errors: float, far: int
) -> None:
    asked = Asked(inventory)
    for share, quality in ((0.01, 0.9), (0.5, 0.9 - errors * math.hypot(0.01, 0.01))):
        asked.study.enqueue_trial({"method": "sparta", "share": share})
        asked.trial = asked.study.ask()
        asked.end(asked.space.propose(asked.trial), quality)
    assert sum(map(len, asked.proposer._far_behind.values())) == far


@pytest.mark.parametrize("rejected", [False, True])
def test_draws_that_are_not_taken_are_told_to_the_sampler_and_another_size_is_tried(
    inventory: Inventory, monkeypatch: pytest.MonkeyPatch, rejected: bool
) -> None:
    told: list[list[float | None]] = []

    class Noting(optuna.samplers.RandomSampler):
        def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
            pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
            told.append([one.constraints.get("budget") for one in pruned])

    asked = Asked(inventory)
    for _ in range(2 * len(METHODS)):
        asked.end(asked.ask(), 0.6)  # the defaults
    proposal = asked.ask()

    def proposed(space: Space, suggester: Suggester) -> Proposal:
        if rejected:
            raise Rejected("outside", excess=0.5)
        return proposal

    monkeypatch.setattr(Space, "propose", proposed)
    monkeypatch.setattr(Proposer, "_is_like_one_far_behind", lambda proposer, proposal: True)
    asked.proposer._sampler_of = lambda seed: Noting(seed)
    asked.proposer.ask()
    of_one_size = [[0.5 if rejected else None] * draws for draws in range(DRAWS)]
    assert told == SIZES * of_one_size
