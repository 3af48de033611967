"""What a configuration is said to train and to ship is what it trains and ships, on every family."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method
from tests.trainables.cases import FOREIGN, OURS, configurations
from tests.trainables.shipped import adapter_bytes, adapter_tensors, parameter_groups
from tests.trainables.tiny_models import ALL, Tiny
from trainables.adapters.attach import attach
from trainables.base_model.inventory import inside

pytestmark = pytest.mark.slow


def check(tiny: Tiny, name: str, configuration: Configuration) -> None:
    inventory = tiny.inventory
    count = method(name).count(configuration, inventory)
    model = attach(tiny.model(), name, configuration, inventory, seed=1)

    assert sum(parameter.numel() for parameter in parameter_groups(model, inventory)[0]) == count.trainable_parameters
    by_module: Counter[str] = Counter()
    base = tiny.model()
    adapted_weights = {one.name for one in inventory.layers}
    # The others train more than what adapters stand around, `full` in whole modules.
    by_layer = name != "full" and getattr(configuration, "parameters", "weights") == "weights"
    for layer in count.layers if by_layer else ():
        path, leaf = (layer.name, "weight") if layer.name in adapted_weights else layer.name.rsplit(".", 1)
        by_module[path] += layer.trainable_parameters
        tensor = getattr(base.get_submodule(path), leaf)
        assert layer.shape in (tuple(tensor.shape), tuple(tensor.T.shape))
    seen: set[torch.nn.Parameter] = set()  # what layers share counts at the first of them
    for path, trained in by_module.items():
        module = model.base_model.model.get_submodule(path)
        parameters = {p for part, p in module.named_parameters() if p.requires_grad and "base_layer." not in part}
        own = sum(p.numel() for p in parameters - seen)
        seen |= parameters
        assert (own if hasattr(module, "base_layer") else 0) == trained
    if method(name).placed:
        assert sum(layer.trainable_parameters for layer in count.layers) == count.trainable_parameters

    _, head = parameter_groups(model, inventory)
    assert sum(parameter.numel() for parameter in head) == count.head_parameters == inventory.head_parameters
    shipped = adapter_tensors(model, inventory)
    assert sum(tensor.numel() for tensor in shipped.values() if tensor.is_floating_point()) == count.stored_parameters
    assert adapter_bytes(model, inventory) == count.adapter_bytes


@pytest.mark.parametrize(("name", "examples"), [*((name, 20) for name in OURS), *((name, 6) for name in FOREIGN)])
def test_any_configuration(name: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(tiny=st.sampled_from(ALL), configuration=configurations(name))
    def run(tiny: Tiny, configuration: Configuration) -> None:
        try:
            method(name).count(configuration, tiny.inventory)
        except Unfit:
            return
        check(tiny, name, configuration)

    run()


@pytest.mark.parametrize(("name", "examples"), [*((name, 12) for name in OURS), *((name, 4) for name in FOREIGN)])
def test_configurations_fitted_to_an_allowance(name: str, examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(tiny=st.sampled_from(ALL), configuration=configurations(name), data=st.data())
    def run(tiny: Tiny, configuration: Configuration, data: st.DataObject) -> None:
        allowance = data.draw(st.integers(1, tiny.inventory.base_parameters))
        try:
            fitted = method(name).fit(configuration, tiny.inventory, allowance)
        except Unfit as unfit:
            if not unfit.smallest:
                return
            smallest = unfit.smallest
            fitted = method(name).fit(configuration, tiny.inventory, smallest)
            assert method(name).count(fitted, tiny.inventory).trainable_parameters == smallest > allowance
            allowance = smallest
        assert method(name).count(fitted, tiny.inventory).trainable_parameters <= allowance
        check(tiny, name, fitted)

    run()


@pytest.mark.parametrize("tiny", ALL, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
def test_full_trains_the_base_once_and_names_all_of_it(tiny: Tiny) -> None:
    check(tiny, "full", method("full").configuration())
    count = method("full").count(method("full").configuration(), tiny.inventory)
    model = tiny.model()
    assert {layer.name: layer.shape for layer in count.layers} == {
        name: tuple(one.shape)
        for name, one in model.named_parameters()
        if not inside(name, tiny.inventory.head_modules)
    }
    assert all(layer.trainable_parameters == math.prod(layer.shape) for layer in count.layers)
    assert sum(layer.trainable_parameters for layer in count.layers) == count.trainable_parameters
