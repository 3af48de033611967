"""Entries of any parameter are held by the modules that own it, tied ones once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from peft import get_peft_model
from torch import nn

from spaces.methods.registry import configuration, method
from tests.trainables.conformance_merging import Merging
from tests.trainables.short_trainings import train
from tests.trainables.sparta_models import EVERYTHING, FAMILIES, TIED, Lines, of_everything, units
from tests.trainables.tiny_models import ALL, CAUSAL_GPT2, Tiny
from trainables.adapters.attach import merged
from trainables.methods.registry import adapters
from trainables.methods.sparta import SpartaConfig
from trainables.tuners.sparse.tied_units import BaseParameters
from trainables.tuners.sparse.tied_units import units as units_of


@FAMILIES
def test_entries_of_each_parameter_are_as_many_as_counted(tiny: Tiny) -> None:
    count = method("sparta").count(configuration("sparta", EVERYTHING), tiny.inventory)
    assert [layer.shape for layer in count.layers] == [one.shape for one in tiny.inventory.parameters]
    named = dict(zip((one.name for one in tiny.inventory.parameters), count.layers, strict=True))
    found = dict.fromkeys(named, 0)
    for name, unit in units(of_everything(tiny)).items():
        start = 0
        for inner, parameter in unit.base_layer.named_parameters():
            places = unit.places["default"]
            inside = int(((places >= start) & (places < start + parameter.numel())).sum())
            found[f"{name}.{inner}"] = found.get(f"{name}.{inner}", 0) + inside
            start += parameter.numel()
    assert {name: taken for name, taken in found.items() if taken} == {
        name: layer.trainable_parameters for name, layer in named.items() if layer.trainable_parameters
    }


class TestAnyParameter(Merging):
    """Lives as weights do."""

    name = "sparta"
    settings = EVERYTHING

    def bases(self) -> Sequence[Tiny]:
        """Embeddings and norms are of as many kinds as there are bases."""
        return ALL


def test_tied_weights_stay_tied() -> None:
    model = train(CAUSAL_GPT2, of_everything(CAUSAL_GPT2), "sparta")
    head, words = model.base_model.model.lm_head, model.base_model.model.transformer.wte
    assert len(words.deltas["default"]) > 0
    assert len(head.deltas) == 0
    trained = CAUSAL_GPT2.logits(model)
    assert head.base_layer.weight is words.base_layer.weight
    plain = merged(model)
    assert plain.lm_head.weight is plain.transformer.wte.weight
    torch.testing.assert_close(CAUSAL_GPT2.logits(plain), trained)


@pytest.mark.parametrize(("first", "second"), [("weights", "all"), ("all", "embeddings")])
@TIED
def test_adapters_of_different_parameters_share_a_model(tiny: Tiny, first: str, second: str) -> None:
    model = train(tiny, of_everything(tiny, parameters=first), "sparta")
    before = tiny.logits(model)
    chosen = configuration("sparta", EVERYTHING | {"parameters": second, "seed": 1})
    config = adapters()["sparta"].peft_config(chosen, tiny.inventory, 0)
    config.modules_to_save = model.peft_config["default"].modules_to_save
    model.add_adapter("other", config)
    model.set_adapter("other")
    other = tiny.logits(train(tiny, model, "sparta"))
    model.set_adapter("default")
    assert torch.equal(tiny.logits(model), before)
    model.set_adapter("other")
    torch.testing.assert_close(tiny.logits(merged(model)), other)


def test_adapted_modules_do_not_nest() -> None:
    model = get_peft_model(nn.Sequential(Lines(3, 2)), SpartaConfig(parameter_names=["0.first.weight"], density=1.0))
    model.base_model.model[0].register_parameter("offset", nn.Parameter(torch.zeros(2)))
    with pytest.raises(ValueError, match="0 is to be adapted as a whole, but an adapter has a module inside it"):
        model.add_adapter("other", SpartaConfig(parameter_names=["0.offset"], density=1.0))


def test_a_parameter_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"parameter_names: the model has no parameter third\.weight"):
        get_peft_model(Lines(3, 2), SpartaConfig(parameter_names=["first.weight", "third.weight"]))


def test_a_parameter_of_the_model_itself_is_refused() -> None:
    model = Lines(3, 2)
    model.offset = nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="parameter offset belongs to the model itself"):
        get_peft_model(model, SpartaConfig(parameter_names=["offset"], density=1.0))


def test_a_module_has_no_more_entries_than_int32_can_name() -> None:
    largest = 2**31 - 1
    for entries in (largest, largest + 1):
        parameters = BaseParameters(nn.Sequential(nn.Linear(1, entries, bias=False, device="meta")))
        places = {"0.weight": np.array([0, largest - 1], dtype=np.int32)}
        if entries == largest:
            assert units_of(parameters, places)["0"].places.tolist() == [0, largest - 1]
        else:
            with pytest.raises(ValueError, match="0 has more entries than int32 indices can name"):
                units_of(parameters, places)
