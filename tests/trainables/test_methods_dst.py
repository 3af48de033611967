"""Dynamic Subset Tuning: the projection against brute force, and training against a dense re-telling of the paper."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel, get_peft_model
from torch import Tensor, nn

from spaces.methods.sparta import entries_at
from spaces.registry import configuration
from tests.trainables.shipped import adapter_tensors, parameter_groups
from tests.trainables.test_methods_conformance import loss, train
from tests.trainables.tiny_models import BERT
from trainables.attach import attach
from trainables.loop import trained_tensors
from trainables.methods.dst import DstConfig, DstLayer
from trainables.registry import adapters
from trainables.reselection import Reselection

ROWS, COLUMNS = 4, 5


class Lines(nn.Module):
    """Two layers of 20 weights each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(COLUMNS, ROWS)
        self.second = nn.Linear(ROWS, COLUMNS)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(self.first(x)))
        return out


def adapted(density: float = 0.25) -> PeftModel:
    return get_peft_model(Lines(), DstConfig(target_modules=["first", "second"], density=density, seed=1))


def layers(model: nn.Module) -> dict[str, DstLayer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, DstLayer)}


def trainer(
    model: nn.Module, *, interval: int = 1, last: int = 100, rate: float = 0.05
) -> tuple[torch.optim.Optimizer, Reselection]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    return optimizer, Reselection(layers(model), "default", optimizer, interval=interval, last=last)


def batch(step: int) -> Tensor:
    return torch.randn(6, COLUMNS, generator=torch.Generator().manual_seed(step))


def make_step(model: nn.Module, optimizer: torch.optim.Optimizer, hooks: Reselection, step: int) -> bool:
    """One step; returns whether it reselected."""
    hooks.before_forward(step)
    reselects = all("default" in layer.expanded for layer in layers(model).values())
    (model(batch(step)) - 1).square().sum().backward()
    optimizer.step()
    hooks.after_step(step)
    optimizer.zero_grad()
    assert all(not layer.expanded for layer in layers(model).values())
    return reselects


def differing(model: nn.Module, before: dict[str, Tensor]) -> list[int]:
    """Entries of each weight, as it is used, that are not as pretrained."""
    counts = []
    for name, layer in layers(model).items():
        layer.write()
        counts.append(int((layer.base_layer.weight != before[name]).sum()))
    return counts


def pretrained(model: nn.Module) -> dict[str, Tensor]:
    return {name: layer.base_layer.weight.detach().clone() for name, layer in layers(model).items()}


@given(
    st.lists(st.floats(-2, 2, width=32), min_size=6, max_size=6),
    st.integers(1, 6),
    st.sampled_from([1, 2]),
)
@settings(max_examples=150, deadline=None)
def test_the_projection_is_the_nearest_of_all_subsets(values: list[float], count: int, power: int) -> None:
    model = get_peft_model(
        nn.ModuleDict({"line": nn.Linear(2, 3)}), DstConfig(target_modules=["line"], density=(count + 0.5) / 6)
    )
    ((_, layer),) = layers(model).items()
    delta = torch.tensor(values)
    with torch.no_grad():
        layer.expand("default").copy_(delta)
    layer.contract("default")
    assert layer.deltas["default"].shape == layer.places["default"].shape == (count,)

    def distance(kept: tuple[int, ...]) -> float:
        return float(sum(abs(values[place]) ** power for place in range(6) if place not in kept))

    best = min(distance(kept) for kept in itertools.combinations(range(6), count))
    assert distance(tuple(layer.places["default"].tolist())) == pytest.approx(best, abs=1e-6)
    kept = layer.places["default"].long()
    assert torch.equal(layer.deltas["default"], delta[kept])
    assert sorted(set(kept.tolist())) == kept.tolist()
    expected = torch.zeros(6).index_copy(0, kept, delta[kept]).view(3, 2)
    assert torch.equal(layer.get_delta_weight("default"), expected)


@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("interval", [1, 3])
def test_exactly_the_allowed_entries_differ_after_every_step(density: float, interval: int) -> None:
    model = adapted(density)
    before = pretrained(model)
    allowed = entries_at(density, ROWS * COLUMNS)
    optimizer, hooks = trainer(model, interval=interval)
    for step in range(1, 9):
        make_step(model, optimizer, hooks, step)
        assert differing(model, before) == [allowed, allowed]


@pytest.mark.parametrize(
    "kind",
    [
        functools.partial(torch.optim.SGD, lr=0.02, momentum=0.9),
        # A large epsilon, for Adam's first update is otherwise as large for every entry.
        functools.partial(torch.optim.AdamW, lr=0.05, eps=1.0, weight_decay=0.0),
    ],
    ids=["sgd", "adamw"],
)
def test_training_is_the_papers(kind: Callable[..., torch.optim.Optimizer]) -> None:
    """Every step: a full update of the dense weights, then all but the farthest entries are reset."""
    dense, model = Lines(), adapted()
    start = {name: weight.detach().clone() for name, weight in dense.named_parameters() if "weight" in name}
    weights = [dense.first.weight, dense.second.weight]
    reference, optimizer = kind(weights), kind([p for p in model.parameters() if p.requires_grad])
    hooks = Reselection(layers(model), "default", optimizer, interval=1, last=100)
    for step in range(1, 13):
        make_step(model, optimizer, hooks, step)
        (dense(batch(step)) - 1).square().sum().backward()
        reference.step()
        dense.zero_grad()
        with torch.no_grad():
            for name, weight in dense.named_parameters():
                if name in start:
                    moved = (weight - start[name]).abs().flatten()
                    reset = moved < moved.sort(descending=True).values[entries_at(0.25, weight.numel()) - 1]
                    weight.view(-1)[reset] = start[name].view(-1)[reset]
        for layer, weight in zip(layers(model).values(), weights, strict=True):
            layer.write()
            torch.testing.assert_close(layer.base_layer.weight, weight.detach(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("interval", "last", "expected"), [(1, 4, [1, 2, 3, 4]), (3, 8, [1, 4, 7]), (5, 1, [1]), (25, 8, [1])]
)
def test_the_schedule(interval: int, last: int, expected: list[int]) -> None:
    model = adapted()
    optimizer, hooks = trainer(model, interval=interval, last=last)
    assert [step for step in range(1, 11) if make_step(model, optimizer, hooks, step)] == expected


def test_the_schedule_ends_at_a_part_of_training() -> None:
    model = attach(BERT.model(), "dst", configuration("dst", {}), BERT.inventory, seed=1)
    optimizer = torch.optim.AdamW(parameter_groups(model, BERT.inventory)[0])
    for part, last in ((1.0, 10), (0.25, 2), (0.01, 1)):
        chosen = configuration("dst", {"reselection_end": part, "reselection_interval": 5})
        hooks = adapters()["dst"].hooks(model, chosen, optimizer, 10)
        assert (hooks._last, hooks._interval, len(hooks._layers)) == (last, 5, len(layers(model)))


@pytest.mark.parametrize("last", [1, 10])
def test_a_step_that_moves_nothing_does_not_choose(last: int) -> None:
    model = adapted()
    before = pretrained(model)
    optimizer, hooks = trainer(model, interval=5, last=last)
    reselected = []
    for step in range(1, 9):
        for group in optimizer.param_groups:
            group["lr"] = 0.0 if step < 3 else 0.05
        if make_step(model, optimizer, hooks, step):
            reselected.append(step)
        assert differing(model, before) == ([0, 0] if step < 3 else [5, 5])
    assert reselected == ([1, 2, 3] if last == 1 else [1, 2, 3, 8])


def test_moments_outside_the_subset_are_kept() -> None:
    model = adapted()
    optimizer, hooks = trainer(model, interval=3)
    make_step(model, optimizer, hooks, 1)
    (name, layer), *_ = layers(model).items()
    kept = {key: value.clone() for key, value in hooks.state_dict()["kept"][name].items()}
    assert kept.keys() == {"exp_avg", "exp_avg_sq"}
    assert kept["exp_avg"].shape == (ROWS * COLUMNS,)
    state = optimizer.state[layer.deltas["default"]]
    places = layer.places["default"].long()
    assert torch.equal(state["exp_avg"], kept["exp_avg"][places])
    for step in (2, 3):
        make_step(model, optimizer, hooks, step)
        assert torch.equal(hooks.state_dict()["kept"][name]["exp_avg"], kept["exp_avg"])
    trained = optimizer.state[layer.deltas["default"]]["exp_avg"].clone()
    assert not torch.equal(trained, kept["exp_avg"][places])
    hooks.before_forward(4)
    dense = optimizer.state[layer.deltas["default"]]["exp_avg"]
    assert torch.equal(dense, kept["exp_avg"].index_copy(0, places, trained))
    assert optimizer.state[layer.deltas["default"]]["step"] == 3


def test_nothing_is_kept_after_the_last_reselection() -> None:
    model = adapted()
    optimizer, hooks = trainer(model, interval=2, last=3)
    for step in range(1, 5):
        make_step(model, optimizer, hooks, step)
        assert bool(hooks.state_dict()["kept"]) == (step < 3)


def save(model: PeftModel, optimizer: torch.optim.Optimizer, hooks: Reselection) -> io.BytesIO:
    file = io.BytesIO()
    torch.save([dict(trained_tensors(model)), optimizer.state_dict(), hooks.state_dict()], file)
    file.seek(0)
    return file


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_an_interrupted_training_goes_on_to_the_bit(stop: int, interval: int, last: int) -> None:
    whole = adapted()
    optimizer, hooks = trainer(whole, interval=interval, last=last)
    file = io.BytesIO()
    for step in range(1, 10):
        make_step(whole, optimizer, hooks, step)
        if step == stop:
            file = save(whole, optimizer, hooks)

    resumed = get_peft_model(Lines(), DstConfig(target_modules=["first", "second"], density=0.25, seed=7))
    tensors, optimizer_state, hooks_state = torch.load(file, weights_only=True)
    current = dict(trained_tensors(resumed))
    with torch.no_grad():
        for name, tensor in tensors.items():
            current[name].copy_(tensor)
    optimizer, hooks = trainer(resumed, interval=interval, last=last)
    hooks.load_state_dict(hooks_state)
    optimizer.load_state_dict(optimizer_state)
    for step in range(stop + 1, 10):
        make_step(resumed, optimizer, hooks, step)
    expected, found = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_subset_that_training_found_is_shipped() -> None:
    chosen = configuration("dst", {"targets": "qv", "density": 0.1})
    model = attach(BERT.model(), "dst", chosen, BERT.inventory, seed=1)
    first = {name: layer.places["default"].clone() for name, layer in layers(model).items()}
    train(BERT, model, "dst", chosen, steps=3)
    shipped = adapter_tensors(model, BERT.inventory)
    for name, layer in layers(model).items():
        assert not torch.equal(layer.places["default"], first[name])
        assert torch.equal(shipped[f"{name}.dst_index"], layer.places["default"])
        assert torch.equal(shipped[f"{name}.dst_delta"], layer.deltas["default"])


def test_a_forward_while_dense_is_that_of_the_subset() -> None:
    chosen = configuration("dst", {"targets": "all", "density": 0.1})
    model = attach(BERT.model(), "dst", chosen, BERT.inventory, seed=1)
    train(BERT, model, "dst", chosen)
    expected, value = BERT.logits(model), loss(BERT, model)
    _, hooks = trainer(model)
    hooks.before_forward(1)
    assert torch.equal(BERT.logits(model), expected)
    assert torch.equal(loss(BERT, model), value)
    model.state_dict()
    assert torch.equal(BERT.logits(model), expected)
