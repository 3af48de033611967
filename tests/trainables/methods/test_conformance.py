"""One suite that every method passes; where one owes less or something else, its class says what and why."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from peft import get_peft_model

from spaces.methods.registry import methods
from tests.trainables.conformance import Conformance, Own, Prompting
from tests.trainables.conformance_merging import Merging, OneAtATime
from tests.trainables.tiny_models import BERT, Tiny


class TestLora(Merging):
    name = "lora"
    random = True


class TestRsLora(TestLora):
    settings: ClassVar[Mapping[str, Any]] = {"variant": "rslora"}


class TestDora(TestLora):
    settings: ClassVar[Mapping[str, Any]] = {"variant": "dora"}
    start_in_bfloat16 = 1e-3  # weights are scaled by a norm that is rounded


class TestSparta(Own, Merging):
    name = "sparta"


class TestDst(Own, Merging):
    name = "dst"
    random = True


class TestSurmCirculant(Own, Merging):
    name = "surm-circulant"
    random = True


class TestSurmToeplitz(Own, Merging):
    name = "surm-toeplitz"
    random = True


class TestSurmKronecker(Own, Merging):
    name = "surm-kronecker"
    random = True


class TestSurmLdr(Own, Merging):
    name = "surm-ldr"
    random = True


class TestFull(Own, OneAtATime):
    name = "full"
    refusal = "full adapters exclude each other"
    start_in_bfloat16 = 0.1  # a whole copy computes in float32


class TestBitfit(Own, Merging):
    name = "bitfit"


class TestHadamard(Own, Merging):
    name = "hadamard"


class TestEther(Own, Merging):
    name = "ether"
    random = True
    starts_away = True  # a reflection changes the output


class TestEtherPlus(Own, Merging):
    name = "ether-plus"
    random = True


class TestLoraXs(Own, Merging):
    name = "lora-xs"


class TestMelora(Own, Merging):
    name = "melora"
    random = True


class TestLorta(Own, Merging):
    name = "lorta"
    random = True


class TestPasta(Own, Conformance):
    name = "pasta"


class TestAdalora(OneAtATime):
    name = "adalora"
    random = True
    refusal = "supports only 1 trainable adapter"
    loaded_in_bfloat16 = 1e-2  # PEFT rounds the rank that it divides by to the base's type, except on loading

    def test_several_adapters(self, tiny: Tiny, tmp_path: Path) -> None:
        model = self.trained(tiny)
        with pytest.raises(ValueError, match=self.refusal):
            model.add_adapter("second", copy.deepcopy(model.peft_config["default"]))


class TestVera(Merging):
    name = "vera"


class TestRandlora(Merging):
    name = "randlora"


class TestIa3(Merging):
    name = "ia3"


class TestLoha(Merging):
    name = "loha"
    random = True


class TestLokr(Merging):
    name = "lokr"
    random = True


class TestC3a(Merging):
    name = "c3a"


class TestShira(Merging):
    name = "shira"


class TestOft(Merging):
    name = "oft"


class TestBoft(Merging):
    name = "boft"


class TestHra(Merging):
    name = "hra"
    random = True


class TestFourierft(Merging):
    name = "fourierft"


class TestWaveft(Merging):
    name = "waveft"


class TestMiss(Merging):
    name = "miss"


class TestLnTuning(OneAtATime):
    name = "ln-tuning"
    refusal = "does not allow merging more than one adapter"
    trains_in_bfloat16 = True
    test_unloading_gives_the_base = None  # PEFT's leaves the head wrapped
    test_merging_what_is_not_finite_is_refused_when_asked = None  # PEFT's exchanges modules without a look


class TestTrainableTokens(OneAtATime):
    name = "trainable-tokens"
    refusal = "Only disjunct token indices"


class TestPromptTuning(Prompting):
    name = "prompt-tuning"


class TestPrefixTuning(Prompting):
    name = "prefix-tuning"
    test_gradient_checkpointing_changes_nothing = None  # checkpointing allows no cache


def test_every_method_conforms() -> None:
    classes = [one for one in globals().values() if isinstance(one, type) and issubclass(one, Conformance)]
    assert {one.name for one in classes if one.__name__.startswith("Test")} == set(methods())


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
