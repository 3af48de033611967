"""SURM's families: each update is the matrix that SciPy builds from its factors, beside a weight and behind it."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import BertConfig

from spaces.errors import RequestError
from spaces.methods.registry import configuration, method
from spaces.model.inventory import Inventory
from spaces.spec.sections import Task
from tests.trainables.short_trainings import train
from tests.trainables.structured_checks import f_circulant
from tests.trainables.surm_layers import CONFIGS, FAMILIES, adapted, line
from tests.trainables.tiny_models import BERT, Tiny
from trainables.adapters.attach import attach
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.methods.surm.circulant import CirculantConfig
from trainables.methods.surm.layer import SurmLayer
from trainables.methods.surm.tuner import adapted_layers

Array = np.ndarray[Any, np.dtype[np.float64]]
PLACEMENTS = pytest.mark.parametrize("placement", ["lora", "adapter"])
SHARED = st.fixed_dictionaries(
    {
        "placement": st.sampled_from(["lora", "adapter"]),
        "alpha": st.sampled_from([1.0, 0.25]),
        "trainable_alpha": st.booleans(),
    }
)


def of_block(name: str, first: Array, second: Array, order: int) -> Array:
    """The square matrix of one block, by SciPy and NumPy."""
    if name == "surm-circulant":
        return scipy.linalg.circulant(first) * scipy.linalg.circulant(second)
    if name == "surm-kronecker":
        return np.kron(first, second)
    if name == "surm-ldr":
        terms = zip(first, second, strict=True)
        return np.sum([scipy.linalg.circulant(g) @ f_circulant(h, -1) for g, h in terms], axis=0)
    columns = ([one[order - 1 :], one[:order][::-1]] if len(one) != order else [one] for one in (first, second))
    one, other = (scipy.linalg.toeplitz(*parts) for parts in columns)
    return other @ one


def expected(name: str, layer: SurmLayer) -> Array:
    """ΔW from the layer's parameters."""
    parts = {part: layer.part(part) for part in ("first", "second", "scale")}
    values = {part: own["default"].detach().double().numpy() for part, own in parts.items() if "default" in own}
    made = layer.grid("default")
    blocks = [
        [
            of_block(name, values["first"][i, j], values["second"][i, j], made.order)[: made.height, : made.width]
            for j in range(made.across)
        ]
        for i in range(made.down)
    ]
    return layer.surm_settings["default"].alpha * values.get("scale", np.ones(1)) * np.block(blocks)


@FAMILIES
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_update_is_the_matrix_of_its_factors(name: str, data: st.DataObject) -> None:
    block = data.draw(st.sampled_from(["whole", 1, 2, 3]))
    times = 1 if block == "whole" else block
    rows, columns = (times * data.draw(st.integers(1, 7 if block == "whole" else 3)) for _ in range(2))
    transposed, own = data.draw(st.booleans()), data.draw(CONFIGS[name][1])
    layer = adapted(name, rows, columns, transposed, block_size=block, **own, **data.draw(SHARED))
    delta = expected(name, layer)
    scale = 1 + np.abs(delta).max()
    behind = layer.placement("default") == "adapter"
    assert delta.shape == (rows, rows if behind else columns)
    stored = delta.T if transposed and not behind else delta
    np.testing.assert_allclose(layer.get_delta_weight("default").numpy(), stored, atol=1e-5 * scale)

    x = torch.randn(2, 3, columns, generator=torch.Generator().manual_seed(2))
    output = layer.base_layer(x)
    if behind:
        bias = layer.bias("default")
        wanted = output + gelu(output @ torch.from_numpy(delta).float().T) + bias
        assert bias.shape == (rows,)
    else:
        wanted = output + x @ torch.from_numpy(delta).float().T
    torch.testing.assert_close(layer(x), wanted, atol=2e-5 * scale, rtol=1e-4)


def authors_spread(name: str, placement: str, factor: Tensor) -> float:
    """Standard deviation of a factor at the start in the authors' code."""
    if placement == "lora" and name == "surm-circulant":
        return 1.0
    if placement == "lora" and name == "surm-kronecker":
        one = torch.empty(1000, factor.shape[-1])
        nn.init.kaiming_uniform_(one, a=math.sqrt(5))
        return float(one.std())
    return 0.02


@FAMILIES
@PLACEMENTS
@pytest.mark.parametrize("trainable", [False, True])
def test_it_starts_at_zero(name: str, placement: str, trainable: bool) -> None:
    chosen = configuration(name, {"placement": placement, "trainable_alpha": trainable, "targets": "all"})
    model = attach(BERT.model(), name, chosen, BERT.inventory, seed=3)
    layers = [layer for _, layer in adapted_layers(model)]
    assert len(layers) == (6 if placement == "adapter" else 18)
    for part in ("first", "second"):
        spreads = [authors_spread(name, placement, layer.part(part)["default"]) for layer in layers]
        values = torch.cat(
            [
                layer.part(part)["default"].detach().flatten() / spread
                for layer, spread in zip(layers, spreads, strict=True)
            ]
        )
        if part == "first" and not trainable:
            assert not values.any()
            continue
        assert len(values.unique()) > 0.99 * len(values)
        assert abs(float(values.mean())) < 0.3
        assert 0.8 < float(values.std()) < 1.2
    assert not any(parameter.any() for layer in layers for parameter in layer.part("scale").values())
    assert not any(parameter.any() for layer in layers for parameter in layer.part("bias").values())
    assert torch.equal(BERT.logits(model), BERT.logits(BERT.model()))


@FAMILIES
def test_what_is_shipped_stands_for_what_was_trained(name: str, tmp_path: Path) -> None:
    chosen = configuration(name, {"placement": "adapter", "trainable_alpha": True})
    model = attach(BERT.model(), name, chosen, BERT.inventory, seed=1)
    train(BERT, model, name, chosen, steps=3)
    model.save_pretrained(tmp_path)
    saved = {path: t for path, t in load_file(tmp_path / "adapter_model.safetensors").items() if "surm" in path}
    ships = ("first", "bias") if name == "surm-circulant" else ("first", "second", "bias")
    layers = dict(adapted_layers(model))
    prefix = next(iter(layers.values())).prefix
    assert saved.keys() == {f"base_model.model.{path}.{prefix}{part}" for path in layers for part in ships}
    loaded = dict(adapted_layers(PeftModel.from_pretrained(BERT.model(), tmp_path, is_trainable=True)))
    for path, layer in layers.items():
        first = layer.part("first")["default"] * layer.part("scale")["default"]
        if name == "surm-circulant":
            first = first * layer.part("second")["default"]
            assert torch.equal(loaded[path].part("second")["default"], torch.ones_like(first))
        assert torch.equal(loaded[path].part("first")["default"], first)
        assert torch.equal(loaded[path].part("scale")["default"], torch.ones(1))
        assert loaded[path].part("scale")["default"].requires_grad


@FAMILIES
def test_two_active_adapters_add_up(name: str) -> None:
    layer = adapted(name, 4, 4)
    config = CONFIGS[name][0]
    model = get_peft_model(line(4, 4), config(target_modules=["line"], seed=1))
    model.add_adapter("other", config(target_modules=["line"], seed=2, alpha=0.5))
    model.add_adapter("behind", config(target_modules=["line"], seed=2, placement="adapter"))
    layer = model.base_model.model["line"]
    with torch.no_grad():
        for parameter in (*layer.part("first").values(), *layer.part("bias").values()):
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    model.base_model.set_adapter(["default", "other"])
    x = torch.ones(2, 4)
    deltas = layer.get_delta_weight("default") + layer.get_delta_weight("other")
    expected = x @ (layer.base_layer.weight + deltas).T + layer.base_layer.bias
    torch.testing.assert_close(layer(x), expected)
    model.merge_adapter()
    torch.testing.assert_close(layer(x), expected)
    model.unmerge_adapter()

    model.base_model.set_adapter(["default", "other", "behind"])
    base = layer.base_layer(x)
    behind = gelu(base @ layer.get_delta_weight("behind").T) + layer.bias("behind")
    torch.testing.assert_close(layer(x), expected + behind)


def test_an_adapter_behind_a_weight_is_not_merged_not_even_in_part() -> None:
    chosen = configuration("surm-circulant", {"placement": "adapter"})
    model = attach(BERT.model(), "surm-circulant", chosen, BERT.inventory, seed=1)
    train(BERT, model, "surm-circulant", chosen)
    trained, before = BERT.logits(model), BERT.fingerprint()
    layers = [layer for _, layer in adapted_layers(model)]
    for merge in (model.merge_adapter, model.merge_and_unload, layers[0].merge):
        with pytest.raises(RequestError, match=r"placement = adapter: .*cannot be merged") as caught:
            merge()
        assert "\n" not in str(caught.value)
    assert not any(layer.merged for layer in layers)
    assert not layers[0].supports_lora_conversion()
    assert torch.equal(BERT.logits(model), trained)
    assert BERT.fingerprint() == before
    assert torch.equal(BERT.logits(model.unload()), BERT.logits(BERT.model())) is False  # the head was trained


@pytest.mark.parametrize("active", ["default", "behind"])
def test_the_adapters_to_merge_decide_whether_they_can_be(active: str) -> None:
    names = ["default", "behind"]
    model = get_peft_model(
        nn.Sequential(*(line(4, 4) for _ in range(2))), CirculantConfig(target_modules=["0.line", "1.line"])
    )
    model.add_adapter("behind", CirculantConfig(target_modules=["1.line"], placement="adapter"))
    model.set_adapter(active)
    layers = [layer for layer in model.modules() if isinstance(layer, SurmLayer)]
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(RequestError, match="placement = adapter"):
            merge(adapter_names=names)
    assert not any(layer.merged for layer in layers)
    model.merge_adapter(["default"])
    assert all(layer.merged_adapters == ["default"] for layer in layers)
    assert not any(
        isinstance(layer, SurmLayer) for layer in model.merge_and_unload(adapter_names=["default"]).modules()
    )


@FAMILIES
@PLACEMENTS
@pytest.mark.parametrize("block", ["whole", 4])
def test_autocast_does_not_round_the_update(name: str, placement: str, block: Any) -> None:
    layer = adapted(name, 8, 12 if placement == "lora" else 8, block_size=block, placement=placement)
    x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(2))
    gradients = []
    for enabled in (False, True):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            update = layer.update("default", x)
            assert update.dtype == torch.float32
        update.square().sum().backward()
        gradients.append([update, *(one.grad.clone() for one in layer.parameters() if one.grad is not None)])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)
    assert layer.double().update("default", x.double()).dtype == torch.float64


def test_merging_leaves_the_parameter_of_the_base_alone() -> None:
    layer = adapted("surm-circulant", 4, 4)
    weight = layer.base_layer.weight
    before = weight.clone()
    layer.merge()
    assert layer.base_layer.weight is not weight
    assert torch.equal(weight, before)
    layer.unmerge()
    assert layer.base_layer.weight is weight


@PLACEMENTS
@pytest.mark.parametrize("training", [False, True])
def test_dropout_acts_on_the_branch_while_training_alone(placement: str, training: bool) -> None:
    layer = adapted("surm-circulant", 8, 8, dropout=0.5, placement=placement).train(training)
    still = adapted("surm-circulant", 8, 8, placement=placement)
    x = torch.ones(1, 8)
    torch.manual_seed(0)
    assert torch.allclose(layer(x), still(x), atol=1e-5) is not training


BERT_BASE: dict[str, dict[str, Any]] = {
    "surm-circulant": {},
    "surm-toeplitz": {"symmetric": True},
    "surm-kronecker": {"factors": "paper"},
    "surm-ldr": {"displacement_rank": 1},
}


@functools.cache
def bert_base() -> Inventory:
    return inventory_of(meta_model(BertConfig(), Task.SEQUENCE_CLASSIFICATION))


def counts(name: str, values: Mapping[str, Any]) -> tuple[int, int]:
    count = method(name).count(configuration(name, dict(values)), bert_base())
    return count.trainable_parameters, count.stored_parameters


@pytest.mark.parametrize(("name", "values"), BERT_BASE.items())
def test_counts_of_bert_base(name: str, values: dict[str, Any]) -> None:
    trained, stored = counts(name, values | {"targets": "qkv"})
    assert trained == 2 * 768 * 36 == 55_296
    assert stored == trained // (2 if name == "surm-circulant" else 1)
    behind = 3 * 768 * 24
    assert counts(name, values | {"placement": "adapter"})[0] == behind == 55_296
    assert counts(name, values | {"placement": "adapter", "trainable_alpha": True})[0] == behind + 24


def test_further_counts_of_bert_base() -> None:
    assert counts("surm-toeplitz", {"symmetric": False})[0] == (4 * 768 - 2) * 36
    assert counts("surm-ldr", {"displacement_rank": 4})[0] == 4 * 55_296
    assert counts("surm-circulant", {"block_size": 384})[0] == 2 * 55_296
    assert counts("surm-kronecker", {"factors": "square"})[0] == (24 * 24 + 32 * 32) * 36
    assert counts("surm-circulant", {"targets": "mlp", "layers": "one"}) == (2 * 3072, 3072)


def test_the_papers_kronecker_product_has_rank_576() -> None:
    layer = adapted("surm-kronecker", 768, 768)
    first, second = (layer.part(part)["default"] for part in ("first", "second"))
    assert (first.shape, second.shape) == ((1, 1, 32, 24), (1, 1, 24, 32))
    singular = torch.linalg.svdvals(layer.get_delta_weight("default").double())
    assert int((singular > 1e-4 * singular[0]).sum()) == 576


def test_updates_of_full_rank() -> None:
    for name in ("surm-circulant", "surm-toeplitz", "surm-ldr"):
        delta: Tensor = adapted(name, 48, 48).get_delta_weight("default").double()
        assert int(torch.linalg.matrix_rank(delta, rtol=1e-6)) == 48


@FAMILIES
@PLACEMENTS
@pytest.mark.parametrize("block", ["whole", 8])
def test_a_base_in_bfloat16(name: str, placement: str, block: Any, tmp_path: Path) -> None:
    half = Tiny("gpt2", Task.CAUSAL_LM, torch.bfloat16)
    before, base = half.fingerprint(), half.logits(half.model())
    chosen = configuration(name, {"placement": placement, "block_size": block, "targets": "all"})
    model = attach(half.model(), name, chosen, half.inventory, seed=1)
    assert torch.equal(half.logits(model), base)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    trained = half.logits(train(half, model, name, chosen))
    assert trained.dtype == base.dtype
    assert not torch.equal(trained, base)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    model.save_pretrained(tmp_path)
    assert torch.equal(half.logits(PeftModel.from_pretrained(half.model(), tmp_path)), trained)
    with model.disable_adapter():
        assert torch.equal(half.logits(model), base)
    with torch.autocast("cpu", torch.bfloat16):
        model.train()(**half.inputs()).logits.float().square().mean().backward()
    assert half.fingerprint() == before
