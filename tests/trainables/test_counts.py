"""What a configuration is said to train and to ship is what it trains and ships, on every family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.inventory import LAYER_RANGES, TARGETS
from spaces.methods.base import Configuration, Unfit
from spaces.registry import method, methods
from tests.trainables.shipped import adapter_bytes, adapter_tensors, parameter_groups
from tests.trainables.tiny_models import ALL, BERT, Tiny
from trainables.attach import attach, head_only
from trainables.inventory import inside, inventory_of

PLACES = st.fixed_dictionaries(
    {"targets": st.sampled_from(TARGETS), "layers": st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 5))}
)
SURM: dict[str, st.SearchStrategy[Any]] = {
    "placement": st.sampled_from(["lora", "adapter"]),
    "block_size": st.sampled_from(["whole", 2, 4]),
    "trainable_alpha": st.booleans(),
}
OWN: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "surm-circulant": st.fixed_dictionaries(SURM),
    "surm-toeplitz": st.fixed_dictionaries(SURM | {"symmetric": st.booleans()}),
    "surm-kronecker": st.fixed_dictionaries(SURM | {"factors": st.sampled_from(["paper", "square"])}),
    "surm-ldr": st.fixed_dictionaries(SURM | {"displacement_rank": st.integers(1, 3)}),
    "lora": st.fixed_dictionaries({"rank": st.integers(1, 5)}),
    "sparta": st.fixed_dictionaries({"density": st.floats(1e-4, 1.0), "seed": st.integers(0, 5)}),
    "dst": st.fixed_dictionaries({"density": st.floats(1 / 96, 1.0)}),
}


@st.composite
def configurations(draw: st.DrawFn, name: str) -> Configuration:
    known = method(name)
    values = draw(OWN.get(name, st.just({})))
    if known.placed:
        values |= draw(PLACES)
    configuration: Configuration = known.configuration(**values)
    return configuration


def check(tiny: Tiny, name: str, configuration: Configuration) -> None:
    inventory = tiny.inventory
    count = method(name).count(configuration, inventory)
    model = attach(tiny.model(), name, configuration, inventory, seed=1)

    assert sum(parameter.numel() for parameter in parameter_groups(model, inventory)[0]) == count.trainable_parameters
    for layer in count.layers:
        module = model.base_model.model.get_submodule(layer.name)
        own = sum(p.numel() for path, p in module.named_parameters() if not path.startswith("base_layer."))
        adapted = hasattr(module, "base_layer")
        assert (own if adapted else 0) == layer.trainable_parameters
        assert layer.shape in (tuple(module.weight.shape), tuple(module.weight.T.shape))
    if method(name).placed:
        assert sum(layer.trainable_parameters for layer in count.layers) == count.trainable_parameters

    _, head = parameter_groups(model, inventory)
    assert sum(parameter.numel() for parameter in head) == count.head_parameters == inventory.head_parameters
    shipped = adapter_tensors(model, inventory)
    assert sum(tensor.numel() for tensor in shipped.values() if tensor.is_floating_point()) == count.stored_parameters
    assert adapter_bytes(model, inventory) == count.adapter_bytes


@pytest.mark.parametrize("name", methods())
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_configuration(name: str, data: st.DataObject) -> None:
    tiny = data.draw(st.sampled_from(ALL))
    configuration = data.draw(configurations(name))
    try:
        method(name).count(configuration, tiny.inventory)
    except Unfit:
        return
    check(tiny, name, configuration)


@pytest.mark.parametrize("name", methods())
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_configurations_fitted_to_an_allowance(name: str, data: st.DataObject) -> None:
    tiny = data.draw(st.sampled_from(ALL))
    configuration = data.draw(configurations(name))
    allowance = data.draw(st.integers(1, tiny.inventory.base_parameters))
    try:
        fitted = method(name).fit(configuration, tiny.inventory, allowance)
    except Unfit as unfit:
        smallest = unfit.smallest
        fitted = method(name).fit(configuration, tiny.inventory, smallest)
        assert method(name).count(fitted, tiny.inventory).trainable_parameters == smallest > allowance
        allowance = smallest
    assert method(name).count(fitted, tiny.inventory).trainable_parameters <= allowance
    check(tiny, name, fitted)


@pytest.mark.parametrize("tiny", ALL, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
def test_full_trains_the_base_once(tiny: Tiny) -> None:
    check(tiny, "full", method("full").configuration())


@pytest.mark.parametrize("name", methods())
def test_exactly_the_adapter_and_the_head_train(name: str) -> None:
    for tiny in ALL:
        model = attach(tiny.model(), name, method(name).configuration(), tiny.inventory, seed=1)
        adapter, head = parameter_groups(model, tiny.inventory)
        assert {parameter.dtype for parameter in (*adapter, *head)} == {torch.float32}
        shared = {parameter.data_ptr() for parameter in tiny.model().parameters()}
        assert shared.isdisjoint(parameter.data_ptr() for parameter in (*adapter, *head))
        trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        assert trained == {id(parameter) for parameter in (*adapter, *head)}


@pytest.mark.parametrize("tiny", ALL, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
def test_the_reference_trains_a_private_head_alone(tiny: Tiny) -> None:
    inventory, before = tiny.inventory, tiny.fingerprint()
    expected = tiny.logits(tiny.model())
    model = head_only(tiny.model(), inventory)
    assert torch.equal(tiny.logits(model), expected)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if inside(name, inventory.head_modules)}
    adapter, head = parameter_groups(model, inventory)
    assert adapter == []
    assert sum(parameter.numel() for parameter in parameter_groups(model, inventory)[0]) == 0
    assert sum(parameter.numel() for parameter in head) == inventory.head_parameters
    with torch.no_grad():
        for parameter in head:
            parameter.add_(1)
    assert tiny.fingerprint() == before


def test_a_fresh_module_inside_the_base_trains_with_the_head() -> None:
    fresh = ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]
    for name in methods():
        inventory = inventory_of(BERT.model(), fresh)
        model = attach(BERT.model(), name, method(name).configuration(), inventory, seed=1)
        adapter, head = parameter_groups(model, inventory)
        assert sum(parameter.numel() for parameter in head) == inventory.head_parameters
        count = method(name).count(method(name).configuration(), inventory)
        assert sum(parameter.numel() for parameter in adapter) == count.trainable_parameters
        assert adapter_bytes(model, inventory) == count.adapter_bytes
