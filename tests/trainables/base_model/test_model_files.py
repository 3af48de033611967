"""A model's files that do not go together, or are no model's, are named in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, GPT2Config, PreTrainedTokenizerFast

from spaces.errors import RequestError
from spaces.spec.sections import ModelSection, Task
from tests.trainables.shipped_models import END, change_config, model_of, ship, tokenizer
from tests.trainables.tiny_models import VOCABULARY
from trainables.base_model.config import config_alone, load_config, read_config
from trainables.base_model.model_files import read_tokenizer
from trainables.base_model.weights import load_weights

TASK = Task.SEQUENCE_CLASSIFICATION


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return ship(tmp_path / "model", model_of("gpt2", TASK))


def section(folder: Path) -> ModelSection:
    return ModelSection(path=str(folder))


def read(folder: Path) -> PreTrainedTokenizerFast:
    return read_tokenizer(section(folder), config_alone(section(folder)))


def refused(folder: Path) -> str:
    with pytest.raises(RequestError) as caught:
        (read_config(section(folder)), read(folder))
    line = str(caught.value)
    assert line.startswith(f"model.path = {folder}: ")
    assert "\n" not in line
    assert "; allowed: " in line
    return line


def change_tokenizer(folder: Path, **values: Any) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "content", [{"model": {"type": "Unknown"}}, {"model": None}, {"normalizer": {"type": "None"}}, {"added_tokens": 3}]
)
def test_a_tokenizer_that_rust_cannot_read(folder: Path, content: dict[str, Any]) -> None:
    change_tokenizer(folder, **content)
    assert "no tokenizer can be loaded (" in refused(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "version https://git-lfs.github.com/spec/v1\noid x\n"])
@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_a_file_that_is_no_json_object(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    line = refused(folder)
    assert ("Git LFS pointer" in line) == content.startswith("version")


@pytest.mark.parametrize(
    "values",
    [
        {"model_type": "unheard-of"},
        {"model_type": None},
        {"model_type": 3},
        {"n_head": "two"},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"quantization_config": {"quant_method": "awq"}},
        {"quantization_config": {"quant_method": "fp8"}},
        {"quantization_config": {}},
    ],
)
def test_a_config_that_is_none(folder: Path, values: dict[str, Any]) -> None:
    change_config(folder, **values)
    assert ("quantised" in refused(folder)) == ("quantization_config" in values)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
@pytest.mark.parametrize("some", ["", "c_attn.weight"])
def test_weights_that_are_no_fractions(folder: Path, dtype: torch.dtype, some: str) -> None:
    """transformers would take them for their values, without a scale."""
    path = folder / "model.safetensors"
    weights = {name: one.to(dtype) if some in name else one for name, one in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    model = section(folder)
    with pytest.raises(RequestError, match=r"its weights are quantised \(\S+ is \w+\); allowed: weights in float32"):
        load_weights(model, load_config(model, ("bad", "good")), ("bad", "good"))


def test_buffers_may_be_whole_numbers(folder: Path) -> None:
    """As the masks that stand in GPT-2's checkpoint."""
    path = folder / "model.safetensors"
    masks = {f"transformer.h.{block}.attn.bias": torch.ones(1, 1, 4, 4, dtype=torch.uint8) for block in range(2)}
    save_file(load_file(path) | masks, path, metadata={"format": "pt"})
    model = section(folder)
    assert load_weights(model, load_config(model, ("bad", "good")), ("bad", "good")).arrays


def test_an_adapter_alone_is_told_as_such(tmp_path: Path) -> None:
    model = get_peft_model(model_of("gpt2", TASK), LoraConfig(target_modules=["c_attn"], fan_in_fan_out=True))
    model.peft_config["default"].base_model_name_or_path = "some/base"
    model.save_pretrained(tmp_path)
    assert "holds an adapter of some/base and no base; allowed: the base, or a model with" in refused(tmp_path)
    GPT2Config().save_pretrained(tmp_path)  # a config makes no model of it
    assert "holds an adapter of some/base and no base" in refused(tmp_path)


def test_ids_that_the_embedding_lacks(folder: Path) -> None:
    grown = tokenizer(padding=False)
    grown.add_special_tokens({"pad_token": "[NEW]"})
    grown.save_pretrained(folder)
    assert f"its tokenizer has ids {VOCABULARY} ('[NEW]'), its embedding {VOCABULARY} rows, 0 to 39" in refused(folder)
    grown = tokenizer()
    grown.add_tokens(["film-noir"])
    grown.save_pretrained(folder)
    assert f"its tokenizer has ids {VOCABULARY} ('film-noir')" in refused(folder)


def test_a_special_token_in_no_use_may_lie_beyond_the_embedding(folder: Path) -> None:
    grown = tokenizer()
    grown.add_special_tokens({"additional_special_tokens": ["<image>"]})
    grown.save_pretrained(folder)
    assert read(folder).pad_token_id == 0


def test_what_pads(folder: Path) -> None:
    assert read(folder).pad_token_id == 0
    tokenizer(padding=False).save_pretrained(folder)
    change_config(folder, pad_token_id=7)
    assert read(folder).pad_token_id == 7
    for unknown in (None, -1, VOCABULARY + 3):
        change_config(folder, pad_token_id=unknown)
        assert read(folder).pad_token == END


def test_inputs_that_the_model_does_not_take_are_not_made(folder: Path) -> None:
    """GPT-2 would add the embeddings of the words 0 and 1 to those of the text."""
    tokenizer(model_input_names=["input_ids", "token_type_ids", "attention_mask"]).save_pretrained(folder)
    assert "token_type_ids" in AutoTokenizer.from_pretrained(folder)("the film")
    assert read(folder)("the film").keys() == {"input_ids", "attention_mask"}
