"""Every sampler of Optuna that a spec may name, in a search."""

from __future__ import annotations

import logging
import math

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.suggest.samplers import make_sampler, regional_sampler, tpe
from search.suggest.study import open_study
from search.suggest.study_trials import DUPLICATE
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.proposal import signature
from spaces.spec.spec import SearchSpec
from spaces.trials.records import TrialPlan
from tests.search.suggest.harness import ALL, Harness


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random", "qmc"])
def test_every_sampler_keeps_the_budget_and_leaves_no_zombie(
    spec: SearchSpec, inventory: Inventory, sampler: str
) -> None:
    search = spec.search.model_copy(update={"sampler": sampler, "trials": 16})
    budget = Budget(68_000, 6_800)
    harness = Harness(spec.model_copy(update={"search": search}), inventory, budget, ALL, trials=16)
    plans = []
    for number in range(16):
        plan = harness.ask(str(number))
        assert plan is not None
        plans.append(plan)
        if number % 4 == 3:
            harness.searcher.on_trial_complete(str(number), None, error=True)
        else:
            harness.finish(str(number), plan, quality(plan))
    assert all(6_800 <= plan.trainable_parameters <= 68_000 for plan in plans)
    assert len({signature(plan.method, plan.config) for plan in plans}) == 16
    assert harness.ask("more") is None
    states = [trial.state for trial in harness.study.get_trials()]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.COMPLETE) == 12


def quality(plan: TrialPlan) -> float:
    """Better with more parameters, with sparta and at the prior."""
    rate = abs(math.log(plan.suggested.get("learning_rate_multiplier", 1.0)))
    return math.log10(plan.trainable_parameters) / 6 + 0.5 * (plan.method == "sparta") - 0.05 * rate


def test_nsga2_is_more_than_random_search(spec: SearchSpec, inventory: Inventory) -> None:
    """On knobs that only one method has, Optuna's defaults resample every gene of every child."""
    search = spec.search.model_copy(update={"sampler": "nsga2", "trials": 40})
    harness = Harness(spec.model_copy(update={"search": search}), inventory, Budget(68_000, 6_800), ALL, trials=40)
    methods = []
    for number in range(40):
        plan = harness.ask(str(number))
        assert plan is not None
        methods.append(plan.method)
        harness.finish(str(number), plan, quality(plan))
    assert methods[-16:].count("sparta") > methods[:16].count("sparta")


def test_a_search_that_goes_on_draws_anew(spec: SearchSpec, inventory: Inventory) -> None:
    search = spec.search.model_copy(update={"sampler": "random"})
    spec = spec.model_copy(update={"search": search})
    harness = Harness(spec, inventory, Budget(68_000, 6_800), ALL, durable=True)
    for number in range(8):
        plan = harness.ask(str(number))
        assert plan is not None
        harness.finish(str(number), plan, 0.5)
    harness.study = open_study(spec, "id", spec.home)
    harness.renew()
    for number in range(8, 16):
        assert harness.ask(str(number)) is not None
    assert not any(DUPLICATE in trial.user_attrs for trial in harness.study.get_trials())


@pytest.mark.parametrize(
    ("name", "of_study", "of_region"),
    [
        ("tpe", "RandomSampler", "TPESampler"),
        ("gp", "RandomSampler", "GPSampler"),
        ("random", "RandomSampler", None),
        ("nsga2", "NSGAIISampler", None),
        ("qmc", "QMCSampler", None),
    ],
)
def test_a_sampler_is_that_of_its_name_and_says_nothing_of_experiments(
    spec: SearchSpec, name: str, of_study: str, of_region: str | None, recwarn: pytest.WarningsRecorder
) -> None:
    spec = spec.model_copy(update={"search": spec.search.model_copy(update={"sampler": name})})
    assert type(make_sampler(spec, taken=0)).__name__ == of_study
    region = regional_sampler(spec)
    assert (region and type(region(0)).__name__) == of_region
    assert not recwarn.list


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_region_s_sampler_follows_its_seed(spec: SearchSpec, name: str) -> None:
    spec = spec.model_copy(update={"search": spec.search.model_copy(update={"sampler": name})})
    sampler_of = regional_sampler(spec)
    assert sampler_of is not None
    drawn = [optuna.create_study(sampler=sampler_of(seed)).ask().suggest_float("x", 0, 1) for seed in (0, 1, 0)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_draws_follow_the_seed_and_the_trials_taken(spec: SearchSpec) -> None:
    random = spec.search.model_copy(update={"sampler": "random"})
    drawn = [
        optuna.create_study(
            sampler=make_sampler(spec.model_copy(update={"search": random.model_copy(update={"seed": seed})}), taken)
        )
        .ask()
        .suggest_float("x", 0, 1)
        for seed, taken in ((0, 0), (0, 1), (1, 0), (0, 0))
    ]
    assert drawn[0] == drawn[3]
    assert len(set(drawn)) == 3


def studied(sampler: optuna.samplers.BaseSampler, *, running: bool = False) -> optuna.Study:
    """Return a study of a dozen finished trials of one knob, and perhaps some that run near the best."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    knob = {"x": optuna.distributions.FloatDistribution(0, 1)}
    for number in range(12):
        study.add_trial(create_trial(params={"x": number / 12}, distributions=knob, value=number / 12))
    for _ in range(20 * running):
        study.add_trial(create_trial(state=TrialState.RUNNING, params={"x": 0.95}, distributions=knob))
    return study


def test_what_runs_is_counted_as_if_it_were_bad() -> None:
    """So that several workers do not try the same at once."""
    without, beside = (
        [studied(tpe(seed), running=running).ask().suggest_float("x", 0, 1) for seed in range(6)]
        for running in (False, True)
    )
    assert without != beside


@pytest.mark.parametrize("name", ["gp", "qmc"])
def test_knobs_of_one_method_are_drawn_without_a_word(
    spec: SearchSpec, name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec.model_copy(update={"search": spec.search.model_copy(update={"sampler": name})})
    region = regional_sampler(spec)
    study = studied(region(0) if region else make_sampler(spec, taken=0))
    study.sampler.infer_relative_search_space(study, study.trials[-1])
    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "optuna"):
        own = optuna.distributions.FloatDistribution(0, 1)
        assert 0 <= study.sampler.sample_independent(study, study.trials[-1], "own", own) <= 1
    assert caplog.messages == []
