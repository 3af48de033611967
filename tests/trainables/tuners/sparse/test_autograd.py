"""Gradients of some entries are those of the dense model, and no dense one outlives the backward pass."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import ShiraConfig, get_peft_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.methods.sparta import density_for
from tests.bench.memory import step_peak
from tests.trainables.short_trainings import loss
from tests.trainables.sparta_models import DENSITIES, FAMILIES, SHAPES, Lines, adapted, layers, randomise, units
from tests.trainables.tiny_models import Tiny
from trainables.adapters.attach import attach, merged
from trainables.methods.sparta import SpartaConfig
from trainables.tuners.sparse import autograd
from trainables.tuners.sparse.entry_gradients import Entries


@given(SHAPES, DENSITIES, st.sampled_from([(), (2,), (3, 2)]))
@settings(max_examples=60, deadline=None)
def test_gradients_are_those_of_the_dense_weight(
    shape: tuple[int, int], density: float, batch: tuple[int, ...]
) -> None:
    dense, model = Lines(*shape), adapted(Lines(*shape), max(density, 1 / (shape[0] * shape[1])))
    randomise(model)
    for name, layer in layers(model).items():
        weight = dense.get_submodule(name.rpartition(".")[2]).weight
        with torch.no_grad():
            weight.add_(layer.get_delta_weight("default"))
    x, y = (torch.randn(*batch, shape[1], generator=torch.Generator().manual_seed(1)) for _ in range(2))
    x.requires_grad_()
    y = x.detach().clone().requires_grad_()
    model(x).square().sum().backward()
    dense(y).square().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-5, rtol=1e-5)
    for name, layer in layers(model).items():
        weight = dense.get_submodule(name.rpartition(".")[2]).weight
        expected = weight.grad.view(-1)[layer.places["default"].long()]
        torch.testing.assert_close(layer.deltas["default"].grad, expected, atol=1e-5, rtol=1e-5)
        assert layer.base_layer.weight.grad is None


@FAMILIES
@pytest.mark.parametrize("parameters", ["weights-and-biases", "embeddings", "all"])
def test_gradients_of_any_parameter_are_those_of_the_dense_model(tiny: Tiny, parameters: str) -> None:
    chosen = configuration("sparta", {"parameters": parameters, "density": 0.3})
    try:
        count = method("sparta").count(chosen, tiny.inventory)
    except Unfit:
        assert (tiny.family, parameters) == ("vit", "embeddings")
        return
    model = attach(tiny.model(), "sparta", chosen, tiny.inventory, seed=1).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for unit in units(model).values():
            unit.deltas["default"].copy_(0.05 * torch.randn(unit.deltas["default"].shape, generator=generator))
    dense = merged(copy.deepcopy(model)).requires_grad_(True).eval()
    loss(tiny, model).backward()
    loss(tiny, dense).backward()
    compared = 0
    for name, unit in units(model).items():
        names = [f"{name}.{inner}" for inner, _ in unit.base_layer.named_parameters()]
        gradients = [dense.get_parameter(one).grad for one in names]
        flat = [
            torch.zeros(dense.get_parameter(one).numel()) if gradient is None else gradient.reshape(-1)
            for one, gradient in zip(names, gradients, strict=True)
        ]
        expected = torch.cat(flat)[unit.places["default"].long()]
        found = unit.deltas["default"].grad
        torch.testing.assert_close(
            torch.zeros_like(expected) if found is None else found, expected, atol=1e-5, rtol=1e-4
        )
        compared += len(expected)
    assert compared == count.trainable_parameters


def _is_strided(one: Any) -> bool:
    return isinstance(one, torch.Tensor) and one.layout == torch.strided


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if _is_strided(out):
            given = {one.untyped_storage().data_ptr() for one in args if _is_strided(one)}
            if out.untyped_storage().data_ptr() not in given:
                self.numbers = max(self.numbers, out.numel())
        return out


def test_an_embedding_makes_no_gradient_of_its_table() -> None:
    words = nn.Embedding(5_000, 4, padding_idx=2)
    entries = Entries(torch.arange(0, 20_000, 7, dtype=torch.int32), (5_000, 4))
    delta = torch.zeros(len(entries.flat), requires_grad=True)
    ids = torch.tensor([[2, 9, 9], [4_999, 0, 2]])
    words(ids).square().sum().backward()
    assert words.weight.grad is not None
    with Largest() as largest:
        autograd.SparseLookup.apply(ids, words, (entries,), delta).square().sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(delta.grad, entries.of(words.weight.grad))
    assert delta.grad.count_nonzero() > 0
    assert largest.numbers < words.weight.numel()


def test_no_dense_copy_of_a_weight_is_saved_or_left() -> None:
    """Between forward and backward a layer keeps its input and its weight itself; after it, gradients of deltas."""
    side, tokens = 64, 3
    model = get_peft_model(
        nn.Sequential(*(nn.Linear(side, side) for _ in range(3))),
        SpartaConfig(target_modules=["0", "1", "2"], density=0.02),
    )
    weights = {layer.base_layer.weight.data_ptr() for layer in layers(model).values()}
    model(torch.ones(tokens, side))
    weights |= {layer.base_layer.weight.data_ptr() for layer in layers(model).values()}
    saved: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: saved.append(one) or one, lambda one: one):
        out = model(torch.ones(tokens, side)).square().sum()
    assert [one.shape for one in saved if one.numel() == side * side and one.data_ptr() not in weights] == []
    assert any(one.data_ptr() in weights for one in saved)
    with Largest() as largest:
        out.backward()
    parts = [entries for layer in layers(model).values() for _, _, entries in layer._parts("default")]
    assert "dense" not in {entries.way(tokens) for entries in parts}
    assert largest.numbers < side * side
    gradients = [one.grad for one in model.parameters() if one.grad is not None]
    assert sum(one.numel() for one in gradients) == sum(
        len(layer.deltas["default"]) for layer in layers(model).values()
    )


def test_a_step_needs_less_memory_than_with_composed_weights() -> None:
    """PEFT's SHiRA composes a dense weight in every layer and keeps all of them for the backward pass."""
    side, depth, rank = 256, 6, 2
    names = [str(number) for number in range(depth)]
    entries = depth * rank * 2 * side
    peaks = []
    for config in (
        SpartaConfig(target_modules=names, density=density_for(entries, depth * side * side)),
        ShiraConfig(target_modules=names, r=rank, random_seed=0),
    ):
        model = get_peft_model(nn.Sequential(*(nn.Linear(side, side) for _ in range(depth))), config)
        trained = [one for one in model.parameters() if one.requires_grad]
        assert sum(one.numel() for one in trained) == entries
        optimizer = torch.optim.AdamW(trained)

        def step(model: nn.Module = model, optimizer: torch.optim.Optimizer = optimizer) -> None:
            model(torch.ones(4, side)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        step()
        peaks.append(step_peak(step))
    sparta, shira = peaks
    weight = 4 * side * side
    # At most one layer's transient, beside what the entries, a few numbers each, and the activations need.
    assert sparta < weight + 8 * 4 * entries + 16 * 4 * side * depth
    assert shira > depth * weight
