"""A model computes attention as it is told, and gives the same."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from spaces.errors import RequestError
from spaces.spec.sections import Attention, ModelSection
from tests.trainables.tiny_models import BERT, CAUSAL_GPT2, LLAMA, VIT, Tiny
from trainables.base_model import attention as module
from trainables.base_model.attention import check_attention, set_attention
from trainables.base_model.weights import copy_of


def section(tiny: Tiny, attention: Attention) -> ModelSection:
    return ModelSection(path="any", task=tiny.task, attention=attention)


@pytest.mark.parametrize("tiny", [BERT, CAUSAL_GPT2, LLAMA, VIT], ids=str)
def test_ways_agree(tiny: Tiny) -> None:
    found = []
    ways: tuple[Attention, ...] = ("sdpa", "eager")
    for way in ways:
        check_attention(section(tiny, way), tiny.config)
        model = tiny.model()
        set_attention(model, way)
        assert copy_of(model).config._attn_implementation == way
        found.append(tiny.logits(model))
    torch.testing.assert_close(*found, atol=1e-5, rtol=0)


def test_auto_leaves_the_choice_to_transformers() -> None:
    check_attention(section(LLAMA, "auto"), LLAMA.config)
    model = LLAMA.model()
    chosen = model.config._attn_implementation
    set_attention(model, "auto")
    assert model.config._attn_implementation == chosen


def test_flash_attention_that_is_not_installed_is_refused() -> None:
    with pytest.raises(
        RequestError, match=r"model.attention = flash_attention_2: needs the package flash-attn.*; allowed"
    ):
        check_attention(section(LLAMA, "flash_attention_2"), LLAMA.config)


def test_a_way_that_the_model_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(model: PreTrainedModel, way: str) -> None:
        raise ValueError("no such way")

    monkeypatch.setattr(module, "set_attention", lacks)
    with pytest.raises(
        RequestError, match=r"model.attention = sdpa: llama does not support it \(no such way\); allowed"
    ):
        check_attention(section(LLAMA, "sdpa"), LLAMA.config)
