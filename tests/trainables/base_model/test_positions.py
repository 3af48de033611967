"""The longest input of a model, against what the model itself refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    CamembertConfig,
    CamembertForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
    OPTConfig,
    OPTForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

from spaces.spec.sections import Task
from tests.trainables.tiny_models import Tiny
from trainables.base_model.config import model_class
from trainables.base_model.positions import longest_input

_SHAPE: dict[str, Any] = {"vocab_size": 40, "max_position_embeddings": 20, "pad_token_id": 1}
_ENCODER = _SHAPE | {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_OPT = _SHAPE | {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 16}
_BART = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
_BART |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "eos_token_id": 2}
Made = tuple[type[PreTrainedModel], PreTrainedConfig]
LEARNED: list[Made] = [
    *[
        (model_class(tiny.config, tiny.task), tiny.config)
        for tiny in (Tiny(family, Task.SEQUENCE_CLASSIFICATION) for family in ("bert", "roberta", "distilbert", "gpt2"))
    ],
    (XLMRobertaForSequenceClassification, XLMRobertaConfig(**_ENCODER)),
    (CamembertForSequenceClassification, CamembertConfig(**_ENCODER)),
    (MPNetForSequenceClassification, MPNetConfig(**_ENCODER)),
    (OPTForSequenceClassification, OPTConfig(**_OPT, word_embed_proj_dim=16)),
    (BartForSequenceClassification, BartConfig(**_SHAPE, **_BART)),
]


def runs(model: PreTrainedModel, length: int) -> bool:
    tokens = torch.full((1, length), 5)
    tokens[0, -1] = model.config.eos_token_id if isinstance(model.config.eos_token_id, int) else 5
    try:
        with torch.no_grad():
            model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
    except (IndexError, RuntimeError):
        return False
    return True


@pytest.mark.parametrize(("kind", "config"), LEARNED, ids=lambda one: getattr(one, "model_type", ""))
def test_it_is_the_longest_that_the_model_takes(kind: type[PreTrainedModel], config: PreTrainedConfig) -> None:
    longest = longest_input(kind, config)
    model = kind(config).eval()
    assert longest is not None
    assert runs(model, longest)
    assert not runs(model, longest + 1)


def test_relative_positions_have_no_end() -> None:
    tiny = Tiny("t5", Task.SEQUENCE_CLASSIFICATION)
    assert longest_input(model_class(tiny.config, tiny.task), tiny.config) is None
    assert runs(tiny.model(), 200)


def test_rotary_positions_end_where_the_config_says() -> None:
    tiny = Tiny("llama", Task.CAUSAL_LM)
    assert longest_input(model_class(tiny.config, tiny.task), tiny.config) == 20
