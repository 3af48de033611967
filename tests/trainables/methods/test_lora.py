"""LoRA: exactly the chosen layers, from PEFT, and a base that is never written."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer

from spaces.methods.registry import configuration, method
from spaces.model.inventory import LAYER_RANGES, TARGETS, select
from spaces.spec.sections import Quantization
from tests.trainables.quantised_models import BERT as WIDE_BERT
from tests.trainables.quantised_models import digest, quantised
from tests.trainables.shipped import adapter_bytes, parameter_groups
from tests.trainables.short_trainings import attached, close, train
from tests.trainables.stock_checks import check_stock
from tests.trainables.tiny_models import ALL, BERT, GPT2, Tiny
from trainables.adapters.attach import attach
from trainables.exporting.stock import stock_form, write_adapter
from trainables.methods.lora.decomposed import DecomposedLoraLayer
from trainables.methods.registry import adapters


@given(st.sampled_from(ALL), st.sampled_from(TARGETS), st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 4)))
@settings(max_examples=80, deadline=None)
def test_exactly_the_chosen_layers_are_adapted(tiny: object, targets: str, layers: str | int) -> None:
    chosen = configuration("lora", {"targets": targets, "layers": layers})
    names = {layer.name for layer in select(tiny.inventory, targets, layers)}  # type: ignore[attr-defined,arg-type]
    if not names:
        return
    model = attach(tiny.model(), "lora", chosen, tiny.inventory, seed=1).base_model.model  # type: ignore[attr-defined]
    assert {name for name, module in model.named_modules() if isinstance(module, LoraLayer)} == names


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("scaling", [0.5, 2.0])
def test_scaling_is_what_multiplies_the_product(rank: int, scaling: float) -> None:
    chosen = configuration("lora", {"rank": rank, "scaling": scaling})
    model = attach(BERT.model(), "lora", chosen, BERT.inventory, seed=1)
    layer = next(module for module in model.modules() if isinstance(module, LoraLayer))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert a.shape[0] == rank
    assert not b.any()
    with torch.no_grad():
        b.fill_(0.1)
    torch.testing.assert_close(layer.get_delta_weight("default"), scaling * b @ a)


def test_a_weight_stored_the_other_way_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        attach(GPT2.model(), "lora", configuration("lora", {}), GPT2.inventory, seed=1)


INITS = ["pissa", "olora", "orthogonal"]
BY_KIND = {"attention": 4, "mlp": 2}


@pytest.mark.parametrize("rank", [4, BY_KIND], ids=["one", "by-kind"])
@pytest.mark.parametrize("init", ["default", *INITS])
@pytest.mark.parametrize("tiny", [BERT, GPT2], ids=lambda tiny: tiny.family)
def test_every_start_trains_ships_and_has_a_stock_form(tiny: Tiny, init: str, rank: object, tmp_path: Path) -> None:
    knobs = {"targets": "all", "rank": rank, "init": init, "scaling": 1.5, "dropout": 0.1}
    chosen, before = configuration("lora", knobs), tiny.fingerprint()
    count = method("lora").count(chosen, tiny.inventory)
    model = attached(tiny, "lora", chosen)
    close(tiny.logits(model.eval()), tiny.logits(tiny.model()), 1e-5)
    adapter, _ = parameter_groups(model, tiny.inventory)
    assert sum(parameter.numel() for parameter in adapter) == count.trainable_parameters
    assert adapter_bytes(model, tiny.inventory) == count.adapter_bytes == 4 * count.stored_parameters
    train(tiny, model, "lora", chosen)
    logits = tiny.logits(model.eval())
    model.save_pretrained(tmp_path / "saved")
    close(tiny.logits(PeftModel.from_pretrained(tiny.model(), tmp_path / "saved").eval()), logits, 1e-5)
    stock = check_stock(tiny, "lora", tmp_path, **knobs)
    doubled = init in {"pissa", "olora"}
    assert count.stored_parameters == (1 + doubled) * count.trainable_parameters
    assert stock.r == 4 * (1 + doubled) or set(stock.rank_pattern.values()) == {4 * (1 + doubled)}
    assert tiny.fingerprint() == before


@pytest.mark.parametrize("variant", ["lora", "rslora"])
@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_a_start_at_a_part_of_the_weight_is_that_of_peft(init: str, variant: str) -> None:
    """PEFT's own layer, which takes the product out of the weight, computes the same with the trained factors."""
    knobs = {"targets": "all", "rank": 3, "init": init, "scaling": 1.5, "variant": variant}
    chosen = configuration("lora", knobs)
    model = attached(BERT, "lora", chosen)
    ours = {name: one for name, one in model.base_model.model.named_modules() if isinstance(one, DecomposedLoraLayer)}
    start = {name: layer.get_base_layer().weight for name, layer in ours.items()}
    config = LoraConfig(
        r=3, lora_alpha=4.5, target_modules=list(ours), init_lora_weights=init, use_rslora=variant == "rslora"
    )
    theirs = get_peft_model(copy.deepcopy(BERT.model()), config)
    plain = dict(theirs.base_model.model.named_modules())
    for name, layer in ours.items():
        residual = plain[name].get_base_layer().weight
        taken = start[name] - residual
        a, b = layer.decomposed_lora_A["default"], layer.decomposed_lora_B["default"]
        close(layer.decomposed_lora_scale["default"] * b @ a, taken, 1e-5)
    train(BERT, model, "lora", chosen)
    for name, layer in ours.items():
        plain[name].lora_A["default"].weight.data = layer.decomposed_lora_A["default"].data
        plain[name].lora_B["default"].weight.data = layer.decomposed_lora_B["default"].data
    theirs.base_model.model.classifier = model.base_model.model.classifier
    close(BERT.logits(theirs.eval()), BERT.logits(model.eval()), 1e-5)


def test_ranks_by_kind_are_those_of_the_layers() -> None:
    model = attached(BERT, "lora", configuration("lora", {"targets": "all", "rank": BY_KIND}))
    found = {
        name.rpartition(".layer.1.")[2]: layer.r["default"]
        for name, layer in model.base_model.model.named_modules()
        if isinstance(layer, LoraLayer) and ".layer.1." in name
    }
    assert found == {
        **{f"attention.{name}": 4 for name in ("self.query", "self.key", "self.value", "output.dense")},
        "intermediate.dense": 2,
        "output.dense": 2,
    }
    assert {layer.scaling["default"] for layer in model.modules() if isinstance(layer, LoraLayer)} == {2.0}


@pytest.mark.parametrize("held", ["nf4", "int8"])
@pytest.mark.parametrize("init", INITS)
def test_a_quantised_base_is_neither_rounded_nor_written(init: str, held: Quantization, tmp_path: Path) -> None:
    """PEFT would quantise what is left of the weight again, or refuses."""
    chosen = configuration("lora", {"targets": "all", "rank": 4, "init": init})
    before = digest(WIDE_BERT, held)
    plain = WIDE_BERT.logits(quantised(WIDE_BERT, held))
    model = attach(quantised(WIDE_BERT, held), "lora", chosen, WIDE_BERT.inventory, seed=1)
    close(WIDE_BERT.logits(model.eval()), plain, 1e-5)
    train(WIDE_BERT, model, "lora", chosen)
    logits = WIDE_BERT.logits(model.eval())
    assert (logits - plain).abs().max() > 1e-3
    model.save_pretrained(tmp_path / "native")
    write_adapter(stock_form(model, "lora", chosen), model, tmp_path / "native", tmp_path / "stock")
    for folder in ("native", "stock"):
        loaded = PeftModel.from_pretrained(quantised(WIDE_BERT, held), tmp_path / folder)
        close(WIDE_BERT.logits(loaded.eval()), logits, 1e-5)
    assert digest(WIDE_BERT, held) == before


def test_orthogonal_values_are_those_of_peft() -> None:
    model = attached(BERT, "lora", configuration("lora", {"rank": 4, "init": "orthogonal"}))
    layer = next(module for module in model.modules() if isinstance(module, LoraLayer))
    torch.manual_seed(3)
    adapters()["lora"].initialise(model, configuration("lora", {"rank": 4, "init": "orthogonal"}))
    ours = layer.lora_A["default"].weight.clone(), layer.lora_B["default"].weight.clone()
    torch.manual_seed(3)
    layer.orthogonal_init("default")
    close(ours[0], layer.lora_A["default"].weight, 1e-6)
    close(ours[1], layer.lora_B["default"].weight, 1e-6)
