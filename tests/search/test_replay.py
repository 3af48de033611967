"""The replay of searches: its clock, its scores, and the project's own classes driven by it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.pareto.front import hypervolume
from spaces.space.proposal import Rejected
from spaces.space.search_space import Space
from spaces.spec.spec import default_methods
from spaces.trials.records import Rung, TrialPlan, TrialResult
from tests.bench.replay.policies import POLICIES, planned
from tests.bench.replay.scores import Point, at, curve, steps_to, stopping
from tests.bench.replay.settings import Policy, Setting, spec_of
from tests.bench.replay.simulation import Outcome, SimulatedTrial, simulate
from tests.bench.replay.surrogate import fit, fit_surrogate
from tests.bench.replay.table import TabledTask, Training
from tests.bench.replay.world import World, noise_of
from tests.spaces.conftest import inventory as inventory
from tests.spaces.random_suggester import RandomSuggester

STEPS = (3, 9, 27)
BUDGET = Budget(10_000, 100)


def plan(trial: int, parameters: int = 1_000) -> TrialPlan:
    counts = dict.fromkeys(
        ("trainable_parameters", "stored_parameters", "adapter_bytes", "head_parameters", "peak_updated_parameters"),
        parameters,
    )
    return TrialPlan(trial=str(trial), kind="trial", method="lora", config={}, seed=0, **counts)


class Scripted:
    """Suggests numbered trials, and stops whom the seed says; remembers everything that it was told."""

    def __init__(self, seed: int, last: int) -> None:
        self.seed, self.last, self.log = seed, last, list[tuple[object, ...]]()
        self.suggested = 0

    def suggest(self) -> TrialPlan | None:
        if self.suggested == self.last:
            return None
        self.suggested += 1
        self.log.append(("suggested", self.suggested))
        return plan(self.suggested)

    def goes_on(self, plan: TrialPlan, rung: Rung) -> bool:
        self.log.append(("rung", plan.trial, rung.step, rung.quality))
        return bool(np.random.default_rng((self.seed, int(plan.trial), rung.step)).random() < 0.6)

    def ended(self, plan: TrialPlan, result: TrialResult) -> None:
        self.log.append(("ended", plan.trial, result.state, result.steps))


def outcome(plan: TrialPlan) -> Outcome:
    pace = 1 + int(plan.trial) % 3
    return Outcome(tuple(0.5 + int(plan.trial) / 100 + step / 1000 for step in STEPS), 0.5, pace)


def ticking(agent: Scripted, slots: int, total_steps: int | None) -> list[tuple[str, str, float]]:
    """The same search by looking at every moment: which trial ended how, and the steps made by then."""
    now, begun, done = 0, dict[str, tuple[TrialPlan, int, int]](), 0
    ended = []
    while True:
        for name in list(begun):
            trial, start, pace = begun[name]
            if (now - start) % pace or (now - start) // pace not in STEPS:
                continue
            step = (now - start) // pace
            position = STEPS.index(step)
            if step != STEPS[-1] and agent.goes_on(trial, Rung(step=step, quality=outcome(trial).qualities[position])):
                continue
            del begun[name]
            done += step
            state = "finished" if step == STEPS[-1] else "stopped"
            spent = done + sum((now - other) / rate for _, other, rate in begun.values())
            ended.append((name, state, spent))
            agent.ended(trial, TrialResult.model_validate({"state": state, "steps": step}))
            _fill(agent, begun, now, slots, done, total_steps)
        _fill(agent, begun, now, slots, done, total_steps)
        if not begun:
            return ended
        now += 1


def _fill(
    agent: Scripted,
    begun: dict[str, tuple[TrialPlan, int, int]],
    now: int,
    slots: int,
    done: int,
    total_steps: int | None,
) -> None:
    while len(begun) < slots and (total_steps is None or done + (len(begun) + 1) * STEPS[-1] <= total_steps):
        trial = agent.suggest()
        if trial is None:
            return
        begun[trial.trial] = (trial, now, int(outcome(trial).pace))


@pytest.mark.parametrize("slots", [1, 2, 5, 16])
@pytest.mark.parametrize("total_steps", [None, 200])
@pytest.mark.parametrize("seed", range(5))
def test_the_clock_is_that_of_looking_at_every_moment(slots: int, total_steps: int | None, seed: int) -> None:
    agent, naive = Scripted(seed, 20), Scripted(seed, 20)
    ended = simulate(agent, outcome, STEPS, slots=slots, total_steps=total_steps)
    expected = ticking(naive, slots, total_steps)
    assert [(one.plan.trial, one.result.state) for one in ended] == [(name, state) for name, state, _ in expected]
    assert [one.spent for one in ended] == pytest.approx([spent for _, _, spent in expected])
    assert agent.log == naive.log
    assert ended[-1].spent == sum(one.result.steps for one in ended)
    assert total_steps is None or ended[-1].spent <= total_steps


def test_a_search_ends_with_its_number_of_trials() -> None:
    assert len(simulate(Scripted(0, 50), outcome, STEPS, slots=4, trials=7)) == 7


TASK = TabledTask("made", "accuracy", STEPS, 1_000, BUDGET, 0.5, (), ())


def ended(
    trial: int, parameters: int, quality: float, truth: float, spent: float, state: str = "finished"
) -> SimulatedTrial:
    steps = STEPS[-1] if state == "finished" else STEPS[0]
    result = TrialResult.model_validate({"state": state, "steps": steps})
    return SimulatedTrial(plan(trial, parameters), Outcome((0.5, 0.5, quality), truth), result, spent)


def test_the_curve_is_the_true_hypervolume_of_the_front_that_was_measured() -> None:
    trials = [
        ended(1, 1_000, 0.7, 0.75, 27),
        ended(2, 1_000, 0.99, 0.99, 40, state="stopped"),
        ended(3, 1_000, 0.8, 0.6, 60),  # looks better than the first, and is not
        ended(4, 10_000, 0.9, 0.9, 90),  # as large as the budget: no area
    ]
    box = {"at_least": 100.0, "budget": 10_000.0, "reference": 0.5, "perfect": 1.0}
    expected = [
        Point(27, hypervolume([(0.75, 1_000)], **box), hypervolume([(0.7, 1_000)], **box)),
        Point(60, hypervolume([(0.6, 1_000)], **box), hypervolume([(0.8, 1_000)], **box)),
        Point(90, hypervolume([(0.6, 1_000)], **box), hypervolume([(0.8, 1_000)], **box)),
    ]
    found = curve(trials, TASK)
    assert found == expected
    assert [point.true for point in found] == pytest.approx([0.25, 0.1, 0.1])
    assert [at(found, steps) for steps in (26, 27, 59, 60, 1_000)] == pytest.approx([0, 0.25, 0.25, 0.1, 0.1])
    assert (steps_to(found, 0.2), steps_to(found, 0.3)) == (27, math.inf)


def test_what_stopping_saved_and_lost() -> None:
    trials = [
        ended(1, 1_000, 0.7, 0.7, 27),
        ended(2, 1_000, 0.8, 0.9, 30, state="stopped"),  # would have been on the front
        ended(3, 5_000, 0.6, 0.6, 33, state="stopped"),
        ended(4, 500, 0.6, 0.6, 60),
        ended(5, 600, 0.61, 0.6, 70, state="stopped"),  # so would this, but the one before comes near
    ]
    found = stopping(trials, TASK)
    assert (found.lost, found.missed, found.points) == (2, 1, 3)
    assert found.stopped == pytest.approx(0.6)
    assert found.saved == pytest.approx(1 - (27 + 27 + 3 + 3 + 3) / (5 * 27))
    full = hypervolume([(0.6, 500), (0.9, 1_000)], at_least=100, budget=10_000, reference=0.5, perfect=1)
    left = hypervolume([(0.6, 500), (0.7, 1_000)], at_least=100, budget=10_000, reference=0.5, perfect=1)
    assert found.harm == pytest.approx(full - left)


def test_a_process_finds_what_is_smooth_and_nothing_in_noise() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.uniform(-2, 2, (80, 3))
    groups = np.array([0.0, 1.0, 2.0])
    smooth = np.sin(inputs[:, 0]) + 0.3 * inputs[:, 1]
    found = fit(inputs, groups, smooth)
    assert (found.residuals**2).mean() < 0.05 * smooth.var()
    assert found.scales[2] > 3 * found.scales[0]  # the third input plays no part
    assert found.predict(np.array([0.5, 1.0, 0.0])) == pytest.approx(math.sin(0.5) + 0.3, abs=0.1)
    noise = generator.normal(size=80)
    assert (fit(inputs, groups, noise).residuals ** 2).mean() > 0.8 * noise.var()


def tabled(inventory: Inventory) -> TabledTask:
    """A made-up table: more parameters are better, and so are learning rates near the prior."""
    methods, generator = default_methods(), np.random.default_rng(0)
    space, trainings = Space(methods, inventory, Budget(68_000, 100)), list[Training]()
    while len(trainings) < 40:
        try:
            one = space.propose(RandomSuggester(generator))
        except Rejected:
            continue
        final = 0.5 + 0.05 * math.log10(one.count.trainable_parameters)
        quality = tuple(round(final * (0.8 + 0.2 * step / STEPS[-1]), 3) for step in STEPS)
        trainings.append(Training(one.method, one.configuration, one.count.trainable_parameters, 0, quality))
    repeats = tuple(tuple(_shifted(one, seed) for seed in range(3)) for one in trainings[::10])
    return TabledTask("made", "accuracy", STEPS, 1_000, space.budget, 0.5, tuple(trainings), repeats)


def _shifted(one: Training, seed: int) -> Training:
    quality = tuple(value + 0.01 * (seed - 1) for value in one.quality)
    return Training(one.method, one.configuration, one.parameters, seed, quality)


def searched(task: TabledTask, inventory: Inventory, policy: Policy, folder: Path) -> Sequence[SimulatedTrial]:
    spec = spec_of(task, {"trials": 10, "seed": 1}, everything=False)
    setting = Setting(spec, Space(spec.methods, inventory, task.budget, 1), task.validation_rows, folder)
    surrogate = fit_surrogate(task, inventory)
    world = World(surrogate, noise_of(surrogate), 1)
    return simulate(policy(setting), world, task.steps, slots=4, total_steps=10 * task.steps[-1])


def test_a_world_is_the_same_every_time_and_noisy(inventory: Inventory, tmp_path: Path) -> None:
    task = tabled(inventory)
    surrogate = fit_surrogate(task, inventory)
    noise = noise_of(surrogate)
    assert noise.deviations == pytest.approx(0.01, rel=0.01)
    trials = [one.plan for one in searched(task, inventory, POLICIES["random"], tmp_path)]
    first, again, other = ([World(surrogate, noise, seed)(one) for one in trials] for seed in (1, 1, 2))
    assert first == again != other
    assert {round(abs(one.qualities[-1] - one.truth), 2) for one in first} == {0.0, 0.01}
    assert all(0.5 < one.truth < 0.8 for one in first)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_searches_within_its_steps(name: str, inventory: Inventory, tmp_path: Path) -> None:
    task = tabled(inventory)
    found = searched(task, inventory, POLICIES[name], tmp_path)
    assert sum(one.result.steps for one in found) <= 10 * STEPS[-1]
    assert len(found) >= 10
    assert all(100 <= one.plan.trainable_parameters <= 68_000 for one in found)
    assert len({one.plan.model_dump_json(include={"method", "config"}) for one in found}) == len(found)


def test_nobody_is_stopped_where_there_is_no_stopper(inventory: Inventory, tmp_path: Path) -> None:
    found = searched(tabled(inventory), inventory, planned(sampler="random", stopper="none"), tmp_path)
    assert [one.result.state for one in found] == ["finished"] * 10
