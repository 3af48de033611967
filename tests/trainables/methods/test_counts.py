"""What a configuration is said to train and to ship is what it trains and ships, on every family."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method, methods
from spaces.model.inventory import LAYER_RANGES, TARGETS
from tests.trainables.shipped import adapter_bytes, adapter_tensors, parameter_groups
from tests.trainables.tiny_models import ALL, BERT, GPT2, Tiny
from trainables.adapters.attach import attach, head_only
from trainables.base_model.inventory import inside, inventory_of
from trainables.methods.registry import adapters

PLACES = st.fixed_dictionaries(
    {"targets": st.sampled_from(TARGETS), "layers": st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 5))}
)
SURM: dict[str, st.SearchStrategy[Any]] = {
    "placement": st.sampled_from(["lora", "adapter"]),
    "block_size": st.sampled_from(["whole", 2, 4]),
    "trainable_alpha": st.booleans(),
}
OWN: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "lora": st.fixed_dictionaries({"rank": st.integers(1, 5), "variant": st.sampled_from(["lora", "rslora", "dora"])}),
    "sparta": st.fixed_dictionaries(
        {
            "density": st.floats(1e-4, 1.0),
            "seed": st.integers(0, 5),
            "selection": st.sampled_from(["exact", "bernoulli"]),
            "density_of": st.sampled_from(["targets", "model"]),
            "parameters": st.sampled_from(["weights", "weights-and-biases", "embeddings", "all"]),
            "indices": st.sampled_from(["stored", "seed"]),
        }
    ),
    "dst": st.fixed_dictionaries(
        {"density": st.floats(1 / 96, 1.0), "silo": st.sampled_from(["tensor", "module", "global"])},
        optional={
            "distance": st.sampled_from(["relative", "inverse-relative"]),
            "density_decay": st.sampled_from(["linear", "cosine"]),
            "reset_state": st.just("clear"),
        },
    ),
    "lora-xs": st.fixed_dictionaries({"rank": st.integers(1, 12)}),
    "melora": st.fixed_dictionaries({"rank": st.integers(1, 3), "groups": st.sampled_from([1, 2, 4])}),
    "ether": st.fixed_dictionaries(
        {"side": st.sampled_from(["input", "output"]), "blocks": st.sampled_from([1, 2, 4])}
    ),
    "ether-plus": st.fixed_dictionaries(
        {"side": st.sampled_from(["both", "input", "output"]), "blocks": st.sampled_from([1, 2, 4])}
    ),
    "lorta": st.fixed_dictionaries({"rank": st.integers(1, 5), "heads": st.sampled_from([1, 2, 4])}),
    "hadamard": st.fixed_dictionaries({"layers": st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 5))}),
    "pasta": st.fixed_dictionaries(
        {
            "token_ids": st.sampled_from(["1", "1,7", "0,1,2"]),
            "layers": st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 5)),
        }
    ),
    "adalora": st.fixed_dictionaries({"rank": st.integers(1, 5)}),
    "vera": st.fixed_dictionaries({"rank": st.integers(1, 30)}),
    "randlora": st.fixed_dictionaries({"rank": st.integers(1, 30)}),
    "loha": st.fixed_dictionaries({"rank": st.integers(1, 5)}),
    "lokr": st.fixed_dictionaries(
        {"rank": st.integers(1, 9), "factor": st.one_of(st.just("square"), st.integers(1, 30))}
    ),
    "c3a": st.fixed_dictionaries({"block_size": st.sampled_from(["largest", 1, 2, 3, 4, 8, 16])}),
    "shira": st.fixed_dictionaries({"rank": st.integers(1, 9)}),
    "oft": st.fixed_dictionaries({"block_size": st.sampled_from([1, 2, 3, 4, 6, 8, 16])}),
    "boft": st.fixed_dictionaries({"block_size": st.sampled_from([1, 2, 3, 4, 6, 8, 16])}),
    "hra": st.fixed_dictionaries({"rank": st.sampled_from([2, 4, 6])}),
    "fourierft": st.fixed_dictionaries({"coefficients": st.integers(1, 300)}),
    "waveft": st.fixed_dictionaries({"coefficients": st.integers(1, 300)}),
    "miss": st.fixed_dictionaries({"rank": st.integers(1, 30)}),
    "bitfit": st.fixed_dictionaries({"layers": st.one_of(st.just("all"), st.integers(1, 5))}),
    "ln-tuning": st.fixed_dictionaries({"layers": st.one_of(st.just("all"), st.integers(1, 5))}),
    "trainable-tokens": st.fixed_dictionaries({"tokens": st.integers(1, 45), "first_token": st.integers(0, 45)}),
    "prompt-tuning": st.fixed_dictionaries({"virtual_tokens": st.integers(1, 12)}),
    "prefix-tuning": st.fixed_dictionaries({"virtual_tokens": st.integers(1, 12)}),
    "surm-circulant": st.fixed_dictionaries(SURM),
    "surm-toeplitz": st.fixed_dictionaries(SURM | {"symmetric": st.booleans()}),
    "surm-kronecker": st.fixed_dictionaries(SURM | {"factors": st.sampled_from(["paper", "square"])}),
    "surm-ldr": st.fixed_dictionaries(SURM | {"displacement_rank": st.integers(1, 3)}),
}


# Where a method's default does not suit models as small as these.
TINY: dict[str, dict[str, Any]] = {"pasta": {"token_ids": "1"}}


def foreign(name: str) -> bool:
    """Whether the tuner is PEFT's own: its mathematics is tested there, here that it is used rightly."""
    tiny = next(one for one in (BERT, GPT2) if fits(one, name, method(name).configuration(**TINY.get(name, {}))))
    config = adapters()[name].peft_config(method(name).configuration(), tiny.inventory, seed=1)
    tuner = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type]
    return getattr(tuner, "tuner_layer_cls", tuner).__module__.startswith("peft.")


def fits(tiny: Tiny, name: str, configuration: Configuration) -> bool:
    """Whether the configuration, as large as it may be, can exist on the model."""
    try:
        method(name).fit(configuration, tiny.inventory, tiny.inventory.base_parameters)
    except Unfit:
        return False
    return True


OURS = tuple(name for name in methods() if not foreign(name))
FOREIGN = tuple(name for name in methods() if foreign(name))


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


def check_any_configuration(name: str, data: st.DataObject) -> None:
    tiny = data.draw(st.sampled_from(ALL))
    configuration = data.draw(configurations(name))
    try:
        method(name).count(configuration, tiny.inventory)
    except Unfit:
        return
    check(tiny, name, configuration)


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_configuration(name: str, data: st.DataObject) -> None:
    check_any_configuration(name, data)


@pytest.mark.parametrize("name", FOREIGN)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_configuration_of_pefts_tuners(name: str, data: st.DataObject) -> None:
    check_any_configuration(name, data)


def check_fitted(name: str, data: st.DataObject) -> None:
    tiny = data.draw(st.sampled_from(ALL))
    configuration = data.draw(configurations(name))
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


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_configurations_fitted_to_an_allowance(name: str, data: st.DataObject) -> None:
    check_fitted(name, data)


@pytest.mark.parametrize("name", FOREIGN)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_configurations_of_pefts_tuners_fitted_to_an_allowance(name: str, data: st.DataObject) -> None:
    check_fitted(name, data)


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


@pytest.mark.parametrize("name", methods())
def test_exactly_the_adapter_and_the_head_train(name: str) -> None:
    for tiny in ALL:
        if not fits(tiny, name, method(name).configuration()):
            continue
        chosen = method(name).fit(method(name).configuration(), tiny.inventory, tiny.inventory.base_parameters)
        model = attach(tiny.model(), name, chosen, tiny.inventory, seed=1)
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
        if not fits(BERT, name, method(name).configuration()):
            continue
        inventory = inventory_of(BERT.model(), fresh)
        chosen = method(name).fit(method(name).configuration(), inventory, inventory.base_parameters)
        model = attach(BERT.model(), name, chosen, inventory, seed=1)
        adapter, head = parameter_groups(model, inventory)
        assert sum(parameter.numel() for parameter in head) == inventory.head_parameters
        count = method(name).count(chosen, inventory)
        assert sum(parameter.numel() for parameter in adapter) == count.trainable_parameters
        assert adapter_bytes(model, inventory) == count.adapter_bytes
