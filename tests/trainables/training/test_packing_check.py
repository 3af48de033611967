"""A family that mixes the examples of a row is refused before anything trains."""

from __future__ import annotations

import pytest
from transformers import BloomConfig, GPT2Config, MambaConfig, PreTrainedConfig

from spaces.errors import RequestError
from spaces.spec.sections import Task
from tests.trainables.tiny_models import Tiny
from trainables.training.packing_check import check_packing

BLOOM = BloomConfig(vocab_size=40, hidden_size=16, n_layer=1, n_head=2)
MAMBA = MambaConfig(vocab_size=40, hidden_size=16, state_size=4, num_hidden_layers=1)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "gemma2", "gemma3"])
def test_families_that_tell_examples_by_their_positions_pass(family: str) -> None:
    check_packing(Tiny(family, Task.CAUSAL_LM).config, "base")


@pytest.mark.parametrize("config", [BLOOM, MAMBA], ids=["bloom", "mamba"])
def test_others_are_refused_in_words(config: PreTrainedConfig) -> None:
    with pytest.raises(RequestError) as error:
        check_packing(config, "base")
    assert str(error.value) == (
        f"data.packing = true: base (model_type {config.model_type}) does not keep the examples of a row apart; "
        "allowed: data.packing: false, or another model"
    )


def test_the_config_stays_as_it_is() -> None:
    config = GPT2Config(vocab_size=100, n_layer=3, n_embd=16, n_head=2)
    before = config.to_dict()
    check_packing(config, "base")
    assert config.to_dict() == before
