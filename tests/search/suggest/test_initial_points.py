"""Configurations from the spec and from earlier fronts, enqueued once."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest

from search.suggest.initial_points import earlier, given_configurations
from search.suggest.searcher import plan_of
from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.from_settings import suggestion
from spaces.space.search_space import Space
from spaces.spec.spec import SearchSpec
from spaces.trials.records import TrialResult
from tests.search.suggest.harness import ALL, Harness
from tracking.writing.search_writer import SearchWriter


def test_a_driver_that_was_killed_while_it_wrote_what_comes_first_loses_nothing(
    spec: SearchSpec, inventory: Inventory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configurations = tuple({"method": "lora", "rank": rank, "learning_rate": 0.0031} for rank in (1, 2, 3))
    elsewhere = spec.model_copy(update={"storage": str(tmp_path / "whole")})
    (tmp_path / "whole").mkdir()
    whole = Harness(elsewhere, inventory, Budget(68_000, 1), ALL, start_with=configurations, durable=True)
    enqueue, done = optuna.Study.enqueue_trial, []

    def killed(*given: Any, **named: Any) -> None:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(enqueue(*given, **named))

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "enqueue_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            Harness(spec, inventory, Budget(68_000, 1), ALL, start_with=configurations, durable=True)
    again = Harness(spec, inventory, Budget(68_000, 1), ALL, start_with=configurations, durable=True)
    waiting = [
        [(trial.system_attrs["fixed_params"], trial.user_attrs) for trial in one.study.trials] for one in (whole, again)
    ]
    assert len(waiting[0]) > 2
    assert waiting[0] == waiting[1]


def test_given_configurations_come_first_and_exactly(spec: SearchSpec, inventory: Inventory) -> None:
    wanted = [
        {"method": "lora", "rank": 3, "targets": "qkv", "learning_rate": 5e-3},
        {"method": "sparta", "density": 0.0071, "targets": "mlp", "learning_rate": 2.1e-3},
    ]
    harness = Harness(spec, inventory, Budget(68_000, 200), ALL, start_with=tuple(wanted))
    for number, settings in enumerate(wanted):
        plan = harness.ask(str(number))
        assert plan is not None
        assert {"method": plan.method, **{knob: plan.config[knob] for knob in settings if knob != "method"}} == settings
        assert harness.frozen(plan).params["method"] == plan.method
        harness.finish(str(number), plan, 0.6)
    # Taken up again, they are not tried a second time.
    harness.renew()
    plan = harness.ask("next")
    assert plan is not None
    assert plan.config["learning_rate"] not in (5e-3, 2.1e-3)


def test_a_given_configuration_outside_the_budget_is_an_error(spec: SearchSpec, inventory: Inventory) -> None:
    search = spec.search.model_copy(update={"start_with": ({"method": "lora", "rank": 64, "targets": "all"},)})
    space = Space(ALL, inventory, Budget(68_000, 200))
    with pytest.raises(RequestError, match=r"search\.start_with\[0\]: lora would train .* outside the budget"):
        given_configurations(spec.model_copy(update={"search": search}), space)


def test_a_search_starts_from_the_fronts_of_earlier_ones(
    spec: SearchSpec, inventory: Inventory, tmp_path: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    space = Space(ALL, inventory, Budget(68_000, 200))
    ranks = {1: 0.7, 2: 0.8, 3: 0.75}
    earlier_spec = spec.model_copy(update={"name": "before"})
    (tmp_path / "before").mkdir()
    writer = SearchWriter(uri, earlier_spec, "id", earlier_spec.home)
    writer.start_search(space.budget, inventory.base_parameters, inventory.head_parameters)
    for rank, quality_ in ranks.items():
        proposal = suggestion(space, {"method": "lora", "rank": rank}).proposal
        plan = plan_of(f"{rank:04d}", proposal, space.budget, {}, seed=0)
        writer.start_trial(plan)
        writer.end_trial(plan, TrialResult(state="finished", quality=quality_, steps=9))
    assert writer.close(60) == 0
    later = spec.model_copy(update={"search": spec.search.model_copy(update={"start_from": ("before",)})})
    found = [one.proposal.settings["rank"] for one in earlier(later, space, uri)]
    assert found == [1, 2]  # rank 3 was no better than rank 2
    other = dataclasses.replace(inventory, base_parameters=1_000_000)
    with pytest.raises(RequestError, match="before had another base, of 22,713,216 parameters"):
        list(earlier(later, Space(ALL, other, Budget(68_000, 200)), uri))
    unknown = spec.model_copy(update={"search": spec.search.model_copy(update={"start_from": ("never",)})})
    with pytest.raises(RequestError, match=r"search\.start_from: .*never"):
        list(earlier(unknown, space, uri))
