"""Deltas are written into private parameters, and the pretrained values restored to the bit."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from tests.bench.memory import storage_bytes
from tests.trainables.sparta_models import Lines, adapted, layers, randomise
from trainables.tuners.sparse.in_place import Range, WrittenParameters


def test_the_weight_is_written_once_a_step() -> None:
    model = adapted(Lines(6, 5))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, fused=True)
    first, *_ = layers(model).values()
    x = torch.ones(2, 5)
    versions = []
    for _ in range(3):
        for _ in range(3):
            model(x).sum().backward()
        versions.append(first.base_layer.weight._version)
        with torch.no_grad():
            model(x)
        assert first.base_layer.weight._version == versions[-1]
        optimizer.step()
    assert versions[0] < versions[1] < versions[2]


def test_places_may_be_exchanged_after_they_were_written() -> None:
    model = adapted(Lines(6, 5))
    before = {name: layer.base_layer.weight.clone() for name, layer in layers(model).items()}
    randomise(model)
    x = torch.ones(2, 5)
    model(x)
    for layer in layers(model).values():
        layer.places["default"] = torch.arange(len(layer.places["default"]), dtype=torch.int32)
    model(x)
    for name, layer in layers(model).items():
        assert torch.equal(layer.base_layer.weight, before[name] + layer.get_delta_weight("default"))


def test_changing_places_in_place_under_written_deltas_is_an_error() -> None:
    model = adapted(Lines(6, 5))
    randomise(model)
    model(torch.ones(2, 5))
    layer = layers(model)["base_model.model.first"]
    layer.places["default"].add_(1)
    with pytest.raises(RuntimeError, match="places of deltas were changed in place"):
        layer.write()


def test_of_what_was_written_the_pretrained_values_alone_are_kept() -> None:
    layer = layers(adapted(Lines(64, 64), density=0.5))["base_model.model.first"]
    layer.write()  # which makes the private copy
    layer.unmerge()
    before = held_bytes()
    layer.write()
    assert held_bytes() - before == 4 * len(layer.places["default"])


def held_bytes() -> int:
    gc.collect()
    return storage_bytes(one for one in gc.get_objects() if issubclass(type(one), torch.Tensor))  # no dead proxies


def test_a_step_between_forward_and_backward_is_an_error_not_a_wrong_gradient() -> None:
    model = adapted(Lines(6, 5))
    parameters = [p for p in model.parameters() if p.requires_grad]
    x = torch.ones(2, 5, requires_grad=True)
    out = model(x).sum()
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(parameters, lr=0.1).step()
    model(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


def test_entries_of_several_parameters_are_named_one_after_another() -> None:
    linear = nn.Linear(3, 2)
    weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
    written = WrittenParameters([[(linear, "weight")], [(linear, "bias")]])
    delta, places = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 4, 7], dtype=torch.int32)
    written.write([delta], lambda: [(places, delta)])
    assert torch.equal(linear.weight, weight + torch.tensor([[0.0, 1.0, 0.0], [0.0, 2.0, 0.0]]))
    assert torch.equal(linear.bias, bias + torch.tensor([0.0, 3.0]))
    private = linear.weight
    delta.mul_(2)
    written.write([delta], lambda: [(places, delta)])
    assert linear.weight is private
    assert torch.equal(linear.bias, bias + torch.tensor([0.0, 6.0]))
    written.restore()
    assert torch.equal(linear.weight, weight)
    assert torch.equal(linear.bias, bias)


def test_ranges_follow_their_places_and_are_kept_while_these_are_unchanged() -> None:
    linear = nn.Linear(3, 2)
    written = WrittenParameters([[(linear, "weight")], [(linear, "bias")]])
    places = torch.tensor([1, 4, 7], dtype=torch.int32)
    found = written.ranges(places)
    assert found == [Range(0, 0, 2, 0), Range(1, 2, 3, 6)]
    assert written.ranges(places) is found
    assert written.ranges(torch.tensor([6, 7], dtype=torch.int32)) == [Range(1, 0, 2, 6)]
    places[0] = 6
    places[1] = 6
    assert written.ranges(places) == [Range(1, 0, 3, 6)]
