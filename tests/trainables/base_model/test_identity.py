"""An adapter goes onto the base that it was trained on, and onto no other."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForSequenceClassification

from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method, methods
from tests.trainables.tiny_models import ALL, BERT, GPT2, Tiny
from trainables.adapters.attach import attach
from trainables.base_model.identity import base_identity, check_base
from trainables.methods.sparta import SpartaConfig

OWN = ("sparta", "surm-circulant", "dst", "full")


def identity(tiny: Tiny, model: nn.Module) -> dict[str, object]:
    return base_identity(model, tiny.inventory.head_modules)


@pytest.mark.parametrize("tiny", ALL, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
def test_it_counts_the_base_alone(tiny: Tiny) -> None:
    found = identity(tiny, tiny.model())
    assert found["parameters"] == tiny.inventory.base_parameters
    assert found["model_type"] == tiny.inventory.model_type


@pytest.mark.parametrize("name", methods())
@pytest.mark.parametrize("tiny", [BERT, GPT2], ids=lambda tiny: tiny.family)
def test_adapters_do_not_change_it(tiny: Tiny, name: str) -> None:
    before = identity(tiny, tiny.model())
    try:
        chosen = method(name).fit(configuration(name, {}), tiny.inventory, tiny.inventory.base_parameters)
    except Unfit:
        return
    model = attach(tiny.model(), name, chosen, tiny.inventory, seed=1)
    assert identity(tiny, model.get_base_model()) == before


def test_neither_does_the_head() -> None:
    config = copy.deepcopy(BERT.config)
    config.num_labels = 7
    assert identity(BERT, AutoModelForSequenceClassification.from_config(config)) == identity(BERT, BERT.model())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"model_type": "roberta"}, "model_type differs: roberta there, bert here"),
        ({"parameters": 5}, "number of parameters differs: 5 there, "),
        ({"shapes": "0"}, "names or shapes of parameters differs$"),
        ({"config": {"hidden_act": "relu"}}, "hidden_act of its config differs: relu there, gelu here$"),
    ],
)
def test_what_differs_is_named(changed: dict[str, object], expected: str) -> None:
    found = identity(BERT, BERT.model())
    check_base(dict(found), found)
    with pytest.raises(ValueError, match=expected):
        check_base(found | changed, found)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("hidden_act", "relu"), ("num_attention_heads", 4), ("layer_norm_eps", 1e-5)],
)
def test_what_changes_the_function_and_no_shape_counts(setting: str, value: object) -> None:
    config = copy.deepcopy(BERT.config)
    was = getattr(config, setting)
    setattr(config, setting, value)
    there, here = (identity(BERT, AutoModelForSequenceClassification.from_config(one)) for one in (BERT.config, config))
    with pytest.raises(ValueError, match=f"{setting} of its config differs: {was} there, {value} here$"):
        check_base(there, here)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("attention_probs_dropout_prob", 0.0), ("use_cache", False), ("name_or_path", "elsewhere"), ("num_labels", 5)],
)
def test_what_does_not_change_the_function_of_the_base_does_not_count(setting: str, value: object) -> None:
    config = copy.deepcopy(BERT.config)
    setattr(config, setting, value)
    assert identity(BERT, AutoModelForSequenceClassification.from_config(config)) == identity(BERT, BERT.model())


def wider() -> nn.Module:
    """A BERT that differs only where the adapters do not sit."""
    config = copy.deepcopy(BERT.config)
    config.max_position_embeddings += 1
    return AutoModelForSequenceClassification.from_config(config)


@pytest.mark.parametrize("name", OWN)
def test_loading_onto_another_base_is_refused(name: str, tmp_path: Path) -> None:
    attach(BERT.model(), name, configuration(name, {}), BERT.inventory, seed=1).save_pretrained(tmp_path)
    PeftModel.from_pretrained(BERT.model(), tmp_path).load_adapter(tmp_path, "second")
    with pytest.raises(ValueError, match="another base: the number of parameters differs"):
        PeftModel.from_pretrained(wider(), tmp_path)
    other = get_peft_model(wider(), SpartaConfig(target_modules=["query"], density=0.5))
    if name == "sparta":
        with pytest.raises(ValueError, match="another base"):
            other.load_adapter(tmp_path, "second")
        assert list(other.peft_config) == ["default"]


def test_a_config_without_a_base_gets_one() -> None:
    config = SpartaConfig(target_modules=["query"], density=0.5)
    get_peft_model(BERT.model(), config)
    assert config.base == base_identity(BERT.model(), ())


def test_a_packed_weight_counts_with_its_shape() -> None:
    model = BERT.model()
    before = identity(BERT, model)
    layer = model.get_submodule(BERT.inventory.layers[0].name)
    layer.weight = nn.Parameter(torch.zeros(layer.weight.numel(), 1, dtype=torch.uint8), requires_grad=False)
    assert identity(BERT, model) == before


def test_methods_of_peft_are_left_alone() -> None:
    model = get_peft_model(BERT.model(), LoraConfig(target_modules=["query"]))
    assert not hasattr(model.peft_config["default"], "base")
