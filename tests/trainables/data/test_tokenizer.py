"""The tokenizer of the base is refused early when it cannot serve, and saved so that it reads as in the search."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import (
    AutoTokenizer,
)

from spaces.errors import RequestError
from tests.trainables.chat_tokenizers import chat_model, trl_template
from tests.trainables.encoded_texts import MODEL, names_in_texts, spec, table, tokens
from tests.trainables.tiny_tokenizers import TOKENIZERS
from trainables.data.encoders import encoder
from trainables.data.tokenizer import save_tokenizer


def test_a_model_without_tokenizer_files_is_refused(tmp_path: Path) -> None:
    shutil.copy(MODEL / "config.json", tmp_path)
    with pytest.raises(RequestError, match="has no tokenizer; allowed: a model with its tokenizer files"):
        encoder(spec(tmp_path))


def test_an_absent_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as error:
        encoder(spec(tmp_path / "absent"))
    assert str(error.value).startswith(f"model.path = {tmp_path / 'absent'}: cannot be read (")
    assert str(error.value).endswith("); allowed: a model folder or a hub id")
    assert "\n" not in str(error.value)


def test_more_tokens_than_the_model_has_positions_are_refused() -> None:
    with pytest.raises(RequestError, match=r"data\.max_length = 513: too long for .*; allowed: at most 512"):
        encoder(spec(MODEL, max_length=513))


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "roberta", "t5", "xlm-roberta", "albert", "words"])
def test_an_exported_tokenizer_reads_as_the_search_did(tmp_path: Path, family: str) -> None:
    """Loaded by its user, with nothing said of control tokens; it knows the search's length, and cuts there."""
    (tmp_path / "base").mkdir()
    TOKENIZERS[family](tmp_path).save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "config.json").write_text('{"model_type": "bert"}')
    search = spec(tmp_path / "base", max_length=9)
    save_tokenizer(search, tmp_path / "export")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "export")
    texts = [*names_in_texts(loaded), "a good film", "a b a b a b a b a b a b a b a b"]
    split = encoder(search).encode(table(text=texts), np.zeros(len(texts)))
    assert loaded(texts, truncation=True)["input_ids"] == tokens(split)
    assert loaded.model_max_length == 9
    inputs = loaded(texts[-1], truncation=True, return_tensors="pt")
    assert {*inputs, "labels"} == set(split.take(np.array([len(texts) - 1])))


def test_a_template_is_saved_with_an_export(tmp_path: Path) -> None:
    base = chat_model(tmp_path / "base", template=None)
    save_tokenizer(spec(base, "causal-lm", messages="chat"), tmp_path / "export", trl_template("llama3"))
    loaded = AutoTokenizer.from_pretrained(tmp_path / "export")
    chat = [{"role": "user", "content": "what"}]
    (end,) = loaded.convert_tokens_to_ids(["<|eot_id|>"])
    assert loaded.get_chat_template() == trl_template("llama3")
    assert end in loaded.apply_chat_template(chat, return_dict=False)


@pytest.mark.parametrize("task", ["causal-lm", "sequence-classification"])
def test_a_chat_template_keeps_its_own_control_tokens_in_an_export(tmp_path: Path, task: str) -> None:
    base = TOKENIZERS["llama"](tmp_path)
    base.chat_template = "{% for message in messages %}<s>{{ message.content }}</s>{% endfor %}"
    base.save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "config.json").write_text('{"model_type": "llama"}')
    columns = {"prompt": "a", "response": "b"} if task == "causal-lm" else {}
    save_tokenizer(spec(tmp_path / "base", task, **columns), tmp_path / "export")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "export")
    assert loaded.split_special_tokens == (task != "causal-lm")
    if task == "causal-lm":
        chat = loaded.apply_chat_template([{"role": "user", "content": "a"}], return_dict=False)
        assert (chat[0], chat[-1]) == (loaded.bos_token_id, loaded.eos_token_id)
        assert loaded.eos_token_id not in loaded("a </s>", split_special_tokens=True)["input_ids"]
