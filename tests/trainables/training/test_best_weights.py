"""The best evaluation of a training: its weights come back to the bit, whatever the method changed afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from spaces.methods.registry import methods
from spaces.spec.metrics import METRICS
from spaces.spec.sections import TrainingSection
from tests.trainables.short_trainings import home, usual
from tests.trainables.tiny_splits import split_for
from trainables.evaluation.predictions import Measured
from trainables.training.best_weights import BestWeights
from trainables.training.loop import Training, trained_tensors
from trainables.training.setup import assemble

BEST, LAST = 2, 4
SETTINGS: dict[str, dict[str, Any]] = {
    "dst": {"reselection_interval": 1, "silo": "global", "density_decay": "cosine", "reselection_end": 1.0},
    "adalora": {"start": 0.0, "end": 0.25},
}


def made(name: str, **training: Any) -> Training:
    AcceleratorState._reset_state(reset_partial_state=True)
    tiny = home(name)
    return assemble(
        tiny.model(),
        name,
        usual(name, learning_rate=0.05, **SETTINGS.get(name, {})),
        tiny.inventory,
        split_for(tiny, 12),
        Accelerator(cpu=True),
        task=tiny.task,
        settings=TrainingSection(
            max_steps=LAST, per_device_train_batch_size=4, head_learning_rate=0.05, warmup_steps=0, **training
        ),
        seed=1,
    )


def state(training: Training) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in trained_tensors(training.model)}


def offered(best: BestWeights, training: Training, quality: float) -> bool:
    return best.offer(training, quality, Measured(quality, f"rows at {training.step}"))


@pytest.mark.parametrize("name", methods())
def test_the_best_weights_are_those_of_a_training_that_was_stopped_there(name: str, tmp_path: Path) -> None:
    training, best = made(name), BestWeights(METRICS["accuracy"])
    training.train_to(BEST)
    assert offered(best, training, 0.75)
    training.train_to(LAST)
    assert not offered(best, training, 0.5)
    last = state(training)
    assert best.found is not None
    training.set_weights(best.found.weights)
    stopped = made(name)
    stopped.train_to(BEST)
    expected, found = state(stopped), state(training)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[one], tensor) for one, tensor in expected.items())
    assert any(last[one].shape != tensor.shape or not torch.equal(last[one], tensor) for one, tensor in found.items())
    tiny = home(name)
    assert torch.equal(tiny.logits(training.model), tiny.logits(stopped.model))
    for folder, one in (("restored", training), ("stopped", stopped)):
        one.model.save_pretrained(tmp_path / folder, save_embedding_layers=False)
    ours, theirs = (load_file(tmp_path / folder / "adapter_model.safetensors") for folder in ("restored", "stopped"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[one], tensor) for one, tensor in theirs.items())


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
@given(qualities=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=8))
def test_the_first_of_the_best_evaluations_is_kept(metric: str, qualities: list[float]) -> None:
    training, best = StandIn(), BestWeights(METRICS[metric])
    for training.step, quality in enumerate(qualities, start=1):
        before = qualities[: training.step - 1]
        is_better = not before or (quality > max(before) if metric == "accuracy" else quality < min(before))
        assert offered(best, training, quality) == is_better
    extreme = max(qualities) if metric == "accuracy" else min(qualities)
    first = qualities.index(extreme) + 1
    assert best.found is not None
    assert (best.found.compared, best.found.step) == (extreme, first)
    assert best.found.measured == Measured(extreme, f"rows at {first}")
    assert best.found.weights == {"step": torch.tensor(first)}


class StandIn(Training):
    """A training whose weights are its step."""

    def __init__(self) -> None:
        self.step = 0

    def weights(self) -> dict[str, torch.Tensor]:
        return {"step": torch.tensor(self.step)}


def test_a_checkpoint_holds_the_best(tmp_path: Path) -> None:
    training, best = made("lora"), BestWeights(METRICS["loss"])
    assert best.state_dict() == {}
    training.train_to(1)
    offered(best, training, 0.5)
    training.save(tmp_path / "checkpoint.pt", {"best": best.state_dict()})
    other, again = made("lora"), BestWeights(METRICS["loss"])
    again.load_state_dict(other.load(tmp_path / "checkpoint.pt")["best"])
    assert best.found is not None
    assert again.found is not None
    assert (again.found.step, again.found.compared, again.found.measured) == (1, 0.5, Measured(0.5, "rows at 1"))
    assert all(torch.equal(again.found.weights[name], tensor) for name, tensor in best.found.weights.items())
    assert not offered(again, other, 0.5)
    again.load_state_dict({})
    assert again.found is not None


def test_evaluations_change_no_training() -> None:
    plain = made("lora")
    plain.train_to(LAST)
    evaluated = made("lora")  # each sets the seed of its dropout
    for step in range(1, LAST + 1):
        evaluated.train_to(step)
        evaluated.evaluate(split_for(home("lora"), 5, 3))
    expected = state(plain)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state(evaluated).items())
