"""A module with deltas shows its pretrained values to whatever reads, loads, moves or casts it."""

from __future__ import annotations

import pytest
import torch

from tests.trainables.sparta_models import Lines, adapted, layers, randomise
from trainables.methods.sparta import SpartaConfig


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merging_a_thousand_times_leaves_the_weight_to_the_bit(dtype: torch.dtype) -> None:
    model = adapted(Lines(6, 5, dtype), density=0.7)
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    randomise(model, scale=1e-2)
    x = torch.ones(2, 5, dtype=dtype)
    expected = model(x)
    for _ in range(1000):
        model.merge_adapter()
        model.unmerge_adapter()
    for name, layer in layers(model).items():
        assert torch.equal(layer.base_layer.weight, before[name])
    assert torch.equal(model(x), expected)
    with model.disable_adapter():
        for name, layer in layers(model).items():
            assert torch.equal(layer.base_layer.weight, before[name])
    for name, layer in layers(model).items():
        written = (before[name].float() + layer.get_delta_weight("default")).to(dtype)
        assert torch.equal(layer.base_layer.weight, written)
    plain = model.unload()
    assert torch.equal(plain.first.weight, before["base_model.model.first"])


def test_two_active_adapters_add_up() -> None:
    model = adapted(Lines(6, 5), density=0.6)
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    model.add_adapter("other", SpartaConfig(target_modules=["first", "second"], density=0.6, seed=1))
    randomise(model)
    model.base_model.set_adapter(["default", "other"])
    x = torch.ones(2, 5)
    model(x).sum().backward()
    for name, layer in layers(model).items():
        deltas = layer.get_delta_weight("default") + layer.get_delta_weight("other")
        assert set(layer.places["default"].tolist()) & set(layer.places["other"].tolist())
        torch.testing.assert_close(layer.base_layer.weight, before[name] + deltas)
        assert {name for name, delta in layer.deltas.items() if delta.grad is not None} == {"default", "other"}
    model.base_model.set_adapter([])
    model(x)
    for name, layer in layers(model).items():
        assert torch.equal(layer.base_layer.weight, before[name])


def test_the_whole_state_can_be_saved_and_loaded() -> None:
    base = Lines(6, 5)
    with torch.no_grad():
        base.first.weight.mul_(2)
    model = adapted(base)
    randomise(model)
    x = torch.ones(2, 5)
    expected = model(x)
    other = adapted(Lines(6, 5))
    randomise(other, scale=2)
    other(x)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other.load_state_dict(state)
    assert torch.equal(other(x), expected)
    assert torch.equal(model(x), expected)


def test_changing_the_type_starts_from_the_pretrained_weight() -> None:
    model = adapted(Lines(6, 5))
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    randomise(model)
    model(torch.ones(2, 5))
    model.to(torch.float64)
    model(torch.ones(2, 5, dtype=torch.float64))
    with model.disable_adapter():
        for name, layer in layers(model).items():
            assert torch.equal(layer.base_layer.weight, before[name].double())


def test_merged_deltas_receive_no_gradient() -> None:
    model = adapted(Lines(6, 5))
    randomise(model)
    x = torch.ones(2, 5)
    assert model(x).requires_grad
    with torch.no_grad():
        assert not any(layer.pieces() for layer in layers(model).values())
    model.merge_adapter()
    assert not any(layer.pieces() for layer in layers(model).values())
    assert not model(x).requires_grad


def test_the_state_of_a_merged_module_is_the_merged_one() -> None:
    model = adapted(Lines(6, 5))
    randomise(model)
    layer = layers(model)["base_model.model.first"]
    merged = layer.base_layer.weight + layer.get_delta_weight("default")
    model.merge_adapter()
    assert torch.equal(layer.state_dict()["base_layer.weight"], merged)
    assert torch.equal(layer.base_layer.weight, merged)


def test_a_safe_merge_refuses_deltas_that_are_not_finite_and_takes_others() -> None:
    layer = layers(adapted(Lines(6, 5)))["base_model.model.first"]
    before = layer.base_layer.weight.clone()
    layer.merge(safe_merge=True)
    layer.unmerge()
    with torch.no_grad():
        layer.deltas["default"][0] = torch.inf
    with pytest.raises(ValueError, match="adapter default has deltas that are not finite"):
        layer.merge(safe_merge=True)
    assert torch.equal(layer.base_layer.weight, before)
    layer.merge()
    assert layer.base_layer.weight.isinf().sum() == 1


def test_a_dense_delta_has_the_entries_that_are_not_zero() -> None:
    layer = layers(adapted(Lines(2, 3)))["base_model.model.first"]
    before = layer.base_layer.weight.clone()
    layer.expanded.add("default")
    layer.deltas["default"] = torch.nn.Parameter(torch.tensor([0.0, 1.0, 0.0, 0.0, 2.0, 0.0]))
    places, values = layer.entries("default")
    assert (places.tolist(), values.tolist()) == ([1, 4], [1.0, 2.0])
    layer.write()
    assert torch.equal(layer.base_layer.weight, before + torch.tensor([[0.0, 1.0, 0.0], [0.0, 2.0, 0.0]]))


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("written", [True, False])
def test_the_plain_module_has_the_deltas_exactly_if_they_are_merged(merge: bool, written: bool) -> None:
    model = adapted(Lines(6, 5))
    layer = layers(model)["base_model.model.first"]
    before = layer.base_layer.weight.clone()
    randomise(model)
    delta = layer.get_delta_weight("default")
    if written:
        model(torch.ones(2, 5))
    plain = model.merge_and_unload() if merge else model.unload()
    assert torch.equal(plain.first.weight, before + delta if merge else before)
