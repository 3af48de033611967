"""An actor trains one plan after another, and each ends with a durable result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from spaces.methods.registry import configuration, method
from spaces.spec.own_metric import keep
from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec, load_spec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialPlan, TrialResult, rung_steps
from spaces.trials.row_values import unpack
from tests.conftest import Workplace
from tests.trainables.shipped_models import make_texts, model_of, ship, spec_of
from trainables.adapters.saved_folder import ADAPTER_WEIGHTS, BASE, load_export, read_labels
from trainables.adapters.verification import saved_dtype, saved_rows, verify
from trainables.base_model.config import load_config
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.base_model.weights import load_weights
from trainables.data.splits import load_splits
from trainables.evaluation.own_metric import pickled
from trainables.generation.saved_answers import ANSWERS, written_again
from trainables.trial import TrialTrainable, WorkerInputs

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", autouse=True)
def instance() -> Iterator[None]:
    ray.shutdown()
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def inputs(workplace: Workplace) -> WorkerInputs:
    return inputs_with(workplace)


def inputs_with(workplace: Workplace, **fields: Any) -> WorkerInputs:
    return inputs_of(load_spec(workplace.spec(storage=str(workplace.folder / "runs"), **fields)))


def inputs_of(spec: SearchSpec) -> WorkerInputs:
    spec.home.mkdir(parents=True)
    splits = load_splits(spec)
    config = load_config(spec.model, splits.labels)
    weights = load_weights(spec.model, config, splits.labels)
    inventory = inventory_of(meta_model(config, spec.model.task), weights.fresh)
    arrays = (ray.put(one) for one in (weights, splits.train, splits.validation))
    return WorkerInputs(spec, inventory, Ledger(spec.home).taken_over(), *arrays)


def plan_of(inputs: WorkerInputs, name: str, trial: str, **changes: Any) -> dict[str, Any]:
    chosen = configuration(name, {})
    count = method(name).count(chosen, inputs.inventory)
    plan = TrialPlan(
        trial=trial,
        kind="trial",
        method=name,
        config=chosen.model_dump(mode="json"),
        seed=1,
        trainable_parameters=count.trainable_parameters,
        stored_parameters=count.stored_parameters,
        adapter_bytes=count.adapter_bytes,
        head_parameters=count.head_parameters,
        peak_updated_parameters=count.peak_updated_parameters,
    ).model_copy(update=changes)
    inputs.ledger.trial(trial).write_plan(plan)
    return plan.model_dump(mode="json")


@ray.remote(num_cpus=1)
def run(inputs: WorkerInputs, plans: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The reports of one actor that trains the plans."""
    trainable = TrialTrainable.__new__(TrialTrainable)
    reports: list[list[dict[str, Any]]] = []
    for plan in plans:
        if reports:
            trainable.reset_config({"plan": plan})
        else:
            trainable.setup({"plan": plan}, inputs=inputs)
        reports.append([trainable.step()])
        while not reports[-1][-1]["done"]:
            reports[-1].append(trainable.step())
    return reports


@ray.remote(num_cpus=1)
def run_cut_off(inputs: WorkerInputs, plan: dict[str, Any]) -> int:
    """Train the plan rung by rung, each on a new actor, as if the one before was killed; return their number."""
    for actors in range(1, 10):
        trainable = TrialTrainable.__new__(TrialTrainable)
        trainable.setup({"plan": plan}, inputs=inputs)
        if trainable.step()["done"]:
            return actors
    raise AssertionError("it never ended")


def result_of(inputs: WorkerInputs, trial: str) -> TrialResult:
    result = inputs.ledger.trial(trial).result()
    assert result is not None
    return result


def test_every_plan_ends_with_its_rungs_and_its_adapter(inputs: WorkerInputs) -> None:
    plans = [plan_of(inputs, "lora", "one"), plan_of(inputs, "sparta", "two")]
    reports = ray.get(run.remote(inputs, plans))
    settings = inputs.spec.training
    steps = list(rung_steps(settings.max_steps, inputs.spec.search.rungs))
    for trial, told in zip(("one", "two"), reports, strict=True):
        result = result_of(inputs, trial)
        assert (result.state, result.steps) == ("finished", settings.max_steps)
        assert [rung.step for rung in result.rungs] == steps == [report["steps"] for report in told]
        assert result.quality == result.rungs[-1].quality == told[-1]["quality"]
        folder = inputs.ledger.trial(trial)
        assert not folder.checkpoint.exists()
        assert read_labels(folder.adapter) == ("bad", "good")
        assert (folder.adapter / BASE).is_file()
        assert saved_rows(folder.adapter) > 0
    names = {trial: set(load_file(inputs.ledger.trial(trial).adapter / ADAPTER_WEIGHTS)) for trial in ("one", "two")}
    assert any("lora_A" in name for name in names["one"])
    assert not any("lora" in name for name in names["two"])


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_a_quantised_base_serves_one_trial_after_another(quantization: str, tmp_path: Path) -> None:
    """Kept activations, evaluations and copies leave it as it was: the same trial ends the same."""
    wide = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    model = ship(tmp_path / "model", model_of("llama", Task.SEQUENCE_CLASSIFICATION, **wide))
    section = {"path": str(model), "task": Task.SEQUENCE_CLASSIFICATION, "quantization": quantization}
    spec = spec_of(model, make_texts(tmp_path), Task.SEQUENCE_CLASSIFICATION, model=section)
    inputs = inputs_of(spec.model_copy(update={"storage": str(tmp_path / "runs")}))
    names = {"one": "lora", "two": "surm-circulant", "three": "lora"}
    plans = [plan_of(inputs, name, trial) for trial, name in names.items()]
    ray.get(run.remote(inputs, plans))
    assert {result_of(inputs, trial).reason for trial in names} == {None}
    first, _, again = (load_file(inputs.ledger.trial(trial).adapter / ADAPTER_WEIGHTS) for trial in names)
    assert all(torch.equal(first[name], again[name]) for name in first)
    folder = inputs.ledger.trial("two").adapter
    assert json.loads((folder / BASE).read_text())["quantization"] == quantization
    assert verify(folder, spec.model) <= 1e-5


def test_a_count_that_does_not_hold_fails_the_trial(inputs: WorkerInputs) -> None:
    plan = plan_of(inputs, "lora", "wrong", trainable_parameters=7)
    ((report,),) = ray.get(run.remote(inputs, [plan]))
    assert report["state"] == "failed"
    result = result_of(inputs, "wrong")
    assert (result.state, result.steps) == ("failed", 0)
    assert "parameters where 7 were counted" in (result.reason or "")


def test_a_metric_of_the_users_own_costs_no_more_than_the_trial_in_which_it_fails(workplace: Workplace) -> None:
    calls: list[int] = []

    def late(predictions: list[str], references: list[str]) -> float:
        calls.append(len(predictions))
        if len(calls) == 2:
            raise ValueError("not\nnow")
        return sum(one == other for one, other in zip(predictions, references, strict=True)) / len(references)

    name = keep(late, "own:late")
    inputs = inputs_with(workplace, objective={"metric": name, "mode": "max", "perfect": 1.0})
    inputs = replace(inputs, metric=pickled(name))
    plans = [plan_of(inputs, "lora", trial) for trial in ("one", "two")]
    told = ray.get(run.remote(inputs, plans))
    assert [reports[-1]["state"] for reports in told] == ["failed", "finished"]
    assert result_of(inputs, "one").reason == "objective.metric = 'own:late': raised ValueError: not now"
    assert len(result_of(inputs, "one").rungs) == 1
    ended = result_of(inputs, "two")
    assert (ended.quality, ended.row_values) == (told[1][-1]["quality"], None)
    assert ended.quality is not None
    assert 0 <= ended.quality <= 1
    assert calls == []


def test_a_trial_that_ended_is_not_run_again(inputs: WorkerInputs) -> None:
    plan = plan_of(inputs, "lora", "done")
    ended = TrialResult(state="failed", steps=3, reason="an earlier one")
    inputs.ledger.trial("done").write_result(ended)
    ((report,),) = ray.get(run.remote(inputs, [plan]))
    assert (report["done"], report["state"]) == (True, "failed")
    assert result_of(inputs, "done") == ended


def test_answers_are_written_at_the_last_step_alone_where_rungs_have_the_loss(tmp_path: Path) -> None:
    model = ship(tmp_path / "llama", model_of("llama", Task.CAUSAL_LM))
    spec = spec_of(
        model,
        make_texts(tmp_path),
        Task.CAUSAL_LM,
        storage=str(tmp_path / "runs"),
        objective={"metric": "chrf", "generation": {"max_new_tokens": 3}, "at_rungs": "loss"},
        training={"max_steps": 9, "per_device_train_batch_size": 8},
    )
    inputs = inputs_of(spec)
    (reports,) = ray.get(run.remote(inputs, [plan_of(inputs, "lora", "one")]))
    result = result_of(inputs, "one")
    assert result.state == "finished", result.reason
    assert [rung.quality is None for rung in result.rungs] == [True, True, False]
    assert [report["compared"] for report in reports] == [rung.loss for rung in result.rungs]
    assert result.quality == reports[-1]["quality"] == result.rungs[-1].quality
    assert unpack(result.row_values) is not None
    adapter = inputs.ledger.trial("one").adapter
    assert len(json.loads((adapter / ANSWERS).read_text())["texts"]) == 4
    AutoTokenizer.from_pretrained(model).save_pretrained(adapter)
    found = written_again(adapter, load_export(adapter, spec.model, saved_dtype(adapter)))
    assert found["different"] is None
    assert found["texts"] == json.loads((adapter / ANSWERS).read_text())["texts"]


BEST: dict[str, Any] = {"max_steps": 9, "eval_steps": 2, "load_best_model_at_end": True, "early_stopping_patience": 4}


def test_a_trial_ends_with_its_best_evaluation_cut_off_or_not(workplace: Workplace) -> None:
    inputs = inputs_with(workplace, training=BEST, search={"rungs": 2}, objective={"metric": "loss"})
    rate = {"config": configuration("dst", {"learning_rate": 0.5}).model_dump(mode="json")}
    plans = [plan_of(inputs, "dst", trial, **rate) for trial in ("whole", "cut")]
    ((*told, last),) = ray.get(run.remote(inputs, plans[:1]))
    assert ray.get(run_cut_off.remote(inputs, plans[1])) == 1 + len(told)
    whole, cut = result_of(inputs, "whole"), result_of(inputs, "cut")
    taken = [rung.quality for rung in whole.rungs]
    assert [rung.step for rung in whole.rungs] == [step for step in (2, 3, 4, 6, 8, 9) if step <= whole.steps]
    assert whole.state == "finished"
    assert whole.quality == last["quality"] == min(taken)
    assert whole.best_step == whole.rungs[taken.index(min(taken))].step
    assert [rung.best for rung in whole.rungs] == [min(taken[: end + 1]) for end in range(len(taken))]
    assert [report["compared"] for report in told] == [rung.best for rung in whole.rungs if rung.step == 3][: len(told)]
    values = unpack(whole.row_values)
    assert values is not None
    assert values.mean == pytest.approx(whole.quality, rel=1e-3)
    changing = {"train_seconds", "peak_memory_bytes"}
    assert cut.model_dump(exclude=changing) == whole.model_dump(exclude=changing)
    ours, theirs = (load_file(inputs.ledger.trial(one).adapter / ADAPTER_WEIGHTS) for one in ("whole", "cut"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_trainings_that_get_no_better_end_early_and_are_finished(workplace: Workplace) -> None:
    still = {**BEST, "eval_steps": 1, "early_stopping_patience": 1, "head_learning_rate": 1e-30}
    inputs = inputs_with(workplace, training=still, search={"rungs": 2})
    rate = configuration("lora", {"learning_rate": 1e-30}).model_dump(mode="json")
    plans = [
        plan_of(inputs, "lora", "trial", config=rate),
        plan_of(inputs, "lora", "reference", kind="reference", trainable_parameters=0),
    ]
    ray.get(run.remote(inputs, plans))
    for trial in ("trial", "reference"):
        result = result_of(inputs, trial)
        assert (result.state, result.steps, result.best_step) == ("finished", 2, 1)
        assert [rung.step for rung in result.rungs] == [1, 2]


def test_a_trial_has_the_training_that_was_chosen_for_it(workplace: Workplace) -> None:
    inputs = inputs_with(
        workplace, training={"max_steps": 2, "optim": ["adamw_torch", "adafactor"]}, search={"rungs": 1}
    )
    plans = [plan_of(inputs, "lora", name, training={"optim": name}) for name in ("adamw_torch", "adafactor")]
    ray.get(run.remote(inputs, plans))
    one, other = (load_file(inputs.ledger.trial(plan["trial"]).adapter / ADAPTER_WEIGHTS) for plan in plans)
    assert any(not torch.equal(one[name], tensor) for name, tensor in other.items())
