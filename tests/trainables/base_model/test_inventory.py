"""The inventory of every family, against the model that it describes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig
from transformers.pytorch_utils import Conv1D

from spaces.errors import RequestError
from spaces.spec.sections import Task
from tests.trainables.tiny_models import ALL, BERT, GPT2, Tiny
from trainables.base_model.inventory import inside, inventory_of, meta_model

SEPARATE = {"query": 1, "key": 1, "value": 1, "output": 1}
ENCODER = SEPARATE | {"up": 1, "down": 1}
GATED = ENCODER | {"gate": 1}
KINDS_OF_A_BLOCK = {
    "bert": ENCODER,
    "roberta": ENCODER,
    "distilbert": ENCODER,
    "vit": ENCODER,
    "gpt2": {"query_key_value": 1, "output": 1, "up": 1, "down": 1},
    **dict.fromkeys(["llama", "mistral", "gemma", "gemma2", "gemma3", "qwen2", "qwen3"], GATED),
}
HEADS = {
    "distilbert": ("pre_classifier", "classifier"),
    "t5": ("classification_head",),
    **dict.fromkeys(["bert", "roberta", "vit"], ("classifier",)),
}


def ids(tiny: Tiny) -> str:
    return f"{tiny.family}-{tiny.task}"


@pytest.mark.parametrize("tiny", ALL, ids=ids)
def test_it_describes_the_model(tiny: Tiny) -> None:
    inventory, model = tiny.inventory, tiny.model()
    assert inventory == inventory_of(model)
    assert inventory.model_type == model.config.model_type
    for layer in inventory.layers:
        module = model.get_submodule(layer.name)
        assert module(torch.zeros(1, layer.in_features)).shape == (1, layer.out_features)
        assert layer.size == module.weight.numel()
        assert layer.transposed == isinstance(module, Conv1D)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert inventory.base_parameters + inventory.head_parameters == total


@pytest.mark.parametrize("tiny", [one for one in ALL if one.family != "t5"], ids=ids)
def test_kinds_by_block(tiny: Tiny) -> None:
    inventory = tiny.inventory
    assert inventory.blocks == tiny.config.num_hidden_layers
    for block in range(inventory.blocks):
        of_block = [layer for layer in inventory.layers if layer.block == block]
        assert Counter(layer.kind for layer in of_block) == KINDS_OF_A_BLOCK[tiny.family]
        assert len({layer.name.split(f".{block}.")[0] for layer in of_block}) == 1


def test_t5s_encoder_comes_before_its_decoder() -> None:
    layers = Tiny("t5", Task.SEQUENCE_CLASSIFICATION).inventory.layers
    assert Counter(layer.kind for layer in layers if layer.block == 1) == GATED
    assert Counter(layer.kind for layer in layers if layer.block == 2) == GATED | dict.fromkeys(SEPARATE, 2)
    assert [layer.block for layer in layers] == sorted(layer.block for layer in layers)
    assert {"encoder" in layer.name for layer in layers if layer.block < 2} == {True}
    assert {"decoder" in layer.name for layer in layers if layer.block >= 2} == {True}
    assert max(layer.block for layer in layers) == 3


def test_the_separating_tokens_of_berts_uncased_vocabulary_are_known(minilm: Path) -> None:
    def special(vocabulary: int, **named: int) -> tuple[int, ...]:
        text = inventory_of(meta_model(BertConfig(vocab_size=vocabulary, **named), Task.SEQUENCE_CLASSIFICATION)).text
        assert text is not None
        return text.special_tokens

    tokenizer = AutoTokenizer.from_pretrained(minilm)
    assert special(len(tokenizer)) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert special(30_521) == ()
    assert special(30_522, cls_token_id=3, sep_token_id=2) == (2, 3)


def test_a_list_of_end_tokens_is_of_special_ones() -> None:
    config = Tiny("llama", Task.CAUSAL_LM).config
    config.bos_token_id, config.eos_token_id = 3, [5, 4]
    text = inventory_of(meta_model(config, Task.CAUSAL_LM)).text
    assert text is not None
    assert text.special_tokens == (3, 4, 5)


@pytest.mark.parametrize("tiny", ALL, ids=ids)
def test_every_parameter_of_the_base_is_listed_once(tiny: Tiny) -> None:
    inventory, model = tiny.inventory, tiny.model()
    assert sum(one.size for one in inventory.parameters) == inventory.base_parameters
    for one in inventory.parameters:
        assert model.get_parameter(one.name).shape == one.shape
    weights = {one.name: one.block for one in inventory.parameters if one.role == "weight"}
    assert weights == {f"{layer.name}.weight": layer.block for layer in inventory.layers}
    assert {one.role for one in inventory.parameters if ".bias" in one.name} <= {"bias", "norm"}
    assert any(one.role == "norm" and one.block == 0 for one in inventory.parameters)
    if tiny.family != "vit":
        embedding = next(one for one in inventory.parameters if one.role == "embedding")
        assert (embedding.shape[0], embedding.block) == (tiny.config.vocab_size, None)


@pytest.mark.parametrize("tiny", ALL, ids=ids)
def test_the_head(tiny: Tiny) -> None:
    expected = () if tiny.task is Task.CAUSAL_LM else HEADS.get(tiny.family, ("score",))
    assert tiny.inventory.head_modules == expected
    head = sum(p.numel() for name, p in tiny.model().named_parameters() if inside(name, expected))
    assert tiny.inventory.head_parameters == head


def test_tied_weights_count_once() -> None:
    tiny = Tiny("gpt2", Task.CAUSAL_LM)
    model = tiny.model()
    assert model.lm_head.weight is model.transformer.wte.weight
    assert tiny.inventory.base_parameters == sum(p.numel() for p in model.transformer.parameters())


def test_modules_that_the_checkpoint_lacks_belong_to_the_head() -> None:
    model, inventory = BERT.model(), BERT.inventory
    pooler = sum(parameter.numel() for parameter in model.bert.pooler.parameters())
    fresh = ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"]
    with_pooler = inventory_of(model, fresh)
    assert with_pooler.head_modules == ("classifier", "bert.pooler.dense")
    assert with_pooler.head_parameters == inventory.head_parameters + pooler
    assert with_pooler.base_parameters == inventory.base_parameters - pooler


def test_linear_layers_of_the_head_are_not_adapted() -> None:
    inventory = inventory_of(GPT2.model(), ["transformer.h.1.mlp.c_fc.weight"])
    assert "transformer.h.1.mlp.c_fc" in inventory.head_modules
    assert "transformer.h.1.mlp.c_fc" not in {layer.name for layer in inventory.layers}


def test_a_tied_weight_that_the_checkpoint_has_under_its_other_name_is_not_fresh() -> None:
    model = Tiny("gpt2", Task.CAUSAL_LM).model()
    assert inventory_of(model, ["lm_head.weight"]).head_modules == ()


def test_regression_has_a_head_of_one_output() -> None:
    config = BERT.config
    config.num_labels = 1
    assert inventory_of(meta_model(config, Task.REGRESSION)).head_parameters == config.hidden_size + 1


def test_layers_of_unknown_kind_are_listed() -> None:
    inventory = Tiny("mamba", Task.CAUSAL_LM).inventory
    assert {layer.kind for layer in inventory.layers} == {"unknown"}
    assert inventory.layer_names == ("in_proj",)
    assert Tiny("resnet", Task.IMAGE_CLASSIFICATION).inventory.layers == ()


def test_a_task_that_the_architecture_has_not_is_refused() -> None:
    with pytest.raises(RequestError, match=r"image-classification: bert has no model for it; allowed: sequence-"):
        meta_model(BERT.config, Task.IMAGE_CLASSIFICATION)
