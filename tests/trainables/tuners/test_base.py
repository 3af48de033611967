"""Our tuners enter PEFT as methods of their own."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from peft import PeftConfig, get_peft_model
from peft.utils import PeftType
from torch import nn
from transformers.pytorch_utils import Conv1D

from spaces.methods.registry import methods
from tests.trainables.short_trainings import attached, home, peft_class
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.tuners.base import AdaptedLinear, LinearConfig, LinearTuner, TunerConfig, tuner


def test_methods_stay_registered_once() -> None:
    import importlib

    import trainables.methods.sparta as module

    kept = dict(vars(module))
    importlib.reload(module)
    try:
        model = get_peft_model(BERT.model(), module.SpartaConfig(target_modules=["query"], density=0.5))
        assert type(model.base_model) is kept["SpartaModel"]
    finally:
        vars(module).update(kept)  # other tests hold these classes


def test_a_decorated_tuner_is_a_method_of_peft() -> None:
    @dataclass
    class NoConfig(LinearConfig):
        pass

    @tuner("none_of_the_others", NoConfig)
    class NoModel(LinearTuner):
        prefix = "none_of_the_others_"
        tuner_layer_cls = AdaptedLinear

    config = NoConfig(target_modules=["query"])
    assert config.peft_type == PeftType["NONE_OF_THE_OTHERS"]
    assert NoConfig.from_peft_type(peft_type="NONE_OF_THE_OTHERS").peft_type == config.peft_type
    assert LinearConfig().peft_type is None


@pytest.mark.parametrize("name", methods())
def test_every_config_says_its_method_and_comes_back_as_it_was(name: str, tmp_path: object) -> None:
    config = attached(home(name), name).peft_config["default"]
    assert type(config) is peft_class(name)
    config.save_pretrained(tmp_path)
    loaded = PeftConfig.from_pretrained(tmp_path)
    assert (type(loaded), loaded.peft_type) == (type(config), config.peft_type)
    if isinstance(config, TunerConfig):
        assert loaded.base == config.base is not None


def test_linear_layers_know_their_sides_however_they_store_the_weight() -> None:
    class Layer(AdaptedLinear):
        adapter_layer_names = other_param_names = ()

        def update_layer(self, adapter_name: str, config: object, **kwargs: object) -> None:
            """Nothing."""

    for line, stored in ((nn.Linear(3, 5), False), (Conv1D(5, 3), True)):
        layer = Layer(line, "default")
        assert (layer.in_features, layer.out_features, layer.transposed) == (3, 5, stored)
        assert layer.active({"default": 1, "other": 2}) == ["default"]
    with pytest.raises(TypeError, match="Embedding is not a linear layer; allowed: Linear, Conv1D"):
        Layer(nn.Embedding(2, 2), "default")  # type: ignore[arg-type]


def test_an_adapter_of_another_base_is_refused() -> None:
    config = attached(BERT, "sparta").peft_config["default"]
    with pytest.raises(ValueError, match="the adapter was trained on another base"):
        get_peft_model(GPT2.model(), config)


def test_moving_an_adapter_does_not_round_it() -> None:
    model = attached(Tiny("bert", BERT.task, torch.bfloat16), "melora")
    layer = next(one for one in model.modules() if isinstance(one, AdaptedLinear))
    layer.melora_A["default"] = nn.Parameter(torch.full((2, 2, 8), 1 + 2**-12))
    layer._move_adapter_to_device_of_base_layer("default")
    assert layer.melora_A["default"].dtype == torch.float32
