"""One suite that every method passes; where one owes less or something else, its class says what and why."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from spaces.methods.registry import methods
from tests.trainables.conformance import Conformance, Own, Prompting
from tests.trainables.conformance_merging import Merging, OneAtATime
from tests.trainables.tiny_models import Tiny


def conforming(name: str, *owed: type[Conformance], **exceptions: Any) -> type[Conformance]:
    """The class of tests of a method, which owes what the classes `owed` hold."""
    return type(f"Test{name.title().replace('-', '')}", owed, {"name": name, **exceptions})


TestLora = conforming("lora", Merging, random=True)
TestRsLora = conforming("lora", Merging, random=True, settings={"variant": "rslora"})
TestDora = conforming(
    "lora",
    Merging,
    random=True,
    settings={"variant": "dora"},
    start_in_bfloat16=1e-3,  # weights are scaled by a norm that is rounded
)
TestSparta = conforming("sparta", Own, Merging)
TestDst = conforming("dst", Own, Merging, random=True)
TestSurmCirculant = conforming("surm-circulant", Own, Merging, random=True)
TestSurmToeplitz = conforming("surm-toeplitz", Own, Merging, random=True)
TestSurmKronecker = conforming("surm-kronecker", Own, Merging, random=True)
TestSurmLdr = conforming("surm-ldr", Own, Merging, random=True)
TestBitfit = conforming("bitfit", Own, Merging)
TestHadamard = conforming("hadamard", Own, Merging)
TestEther = conforming("ether", Own, Merging, random=True, starts_away=True)  # a reflection changes the output
TestEtherPlus = conforming("ether-plus", Own, Merging, random=True)
TestLoraXs = conforming("lora-xs", Own, Merging)
TestMelora = conforming("melora", Own, Merging, random=True)
TestLorta = conforming("lorta", Own, Merging, random=True)
TestPasta = conforming("pasta", Own, Conformance)
TestVera = conforming("vera", Merging)
TestRandlora = conforming("randlora", Merging)
TestIa3 = conforming("ia3", Merging)
TestLoha = conforming("loha", Merging, random=True)
TestLokr = conforming("lokr", Merging, random=True)
TestC3a = conforming("c3a", Merging)
TestShira = conforming("shira", Merging)
TestOft = conforming("oft", Merging)
TestBoft = conforming("boft", Merging)
TestHra = conforming("hra", Merging, random=True)
TestFourierft = conforming("fourierft", Merging)
TestWaveft = conforming("waveft", Merging)
TestMiss = conforming("miss", Merging)
TestTrainableTokens = conforming("trainable-tokens", OneAtATime, refusal="Only disjunct token indices")
TestPromptTuning = conforming("prompt-tuning", Prompting)


class TestFull(Own, OneAtATime):
    name = "full"
    refusal = "full adapters exclude each other"
    start_in_bfloat16 = 0.1  # a whole copy computes in float32


class TestAdalora(OneAtATime):
    name = "adalora"
    random = True
    refusal = "supports only 1 trainable adapter"
    loaded_in_bfloat16 = 1e-2  # PEFT rounds the rank that it divides by to the base's type, except on loading

    def test_several_adapters(self, tiny: Tiny, tmp_path: Path) -> None:
        model = self.trained(tiny)
        with pytest.raises(ValueError, match=self.refusal):
            model.add_adapter("second", copy.deepcopy(model.peft_config["default"]))


class TestLnTuning(OneAtATime):
    name = "ln-tuning"
    loaded_in_bfloat16 = 0.02  # PEFT loads the trained copies in the base's type
    refusal = "does not allow merging more than one adapter"
    test_unloading_gives_the_base = None  # PEFT's leaves the head wrapped
    test_merging_what_is_not_finite_is_refused_when_asked = None  # PEFT's exchanges modules without a look


class TestPrefixTuning(Prompting):
    name = "prefix-tuning"
    test_gradient_checkpointing_changes_nothing = None  # checkpointing allows no cache


def test_every_method_conforms() -> None:
    classes = [one for one in globals().values() if isinstance(one, type) and issubclass(one, Conformance)]
    assert {one.name for one in classes if one.__name__.startswith("Test")} == set(methods())
