"""The name of a control token in a text is text, for every family of tokenizers and every task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import T5Config, T5ForSequenceClassification

from spaces.errors import RequestError
from tests.trainables.encoded_texts import FORMS, names_in_texts, spec, table, tokens
from tests.trainables.tiny_tokenizers import MINILM, TOKENIZERS
from trainables.data.control_tokens import (
    check_control_tokens,
    control_notes,
    encode,
    read_as_text,
)
from trainables.data.encoders import encoder
from trainables.data.prompts import ResponseEncoder
from trainables.data.texts import TextEncoder


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """As a search has it."""
    made = TOKENIZERS[request.param](tmp_path)
    read_as_text(made)
    return made


def controls(tokenizer: Any, row: list[int]) -> Counter[int]:
    """How often each control token stands in a row; the one for unknown words is no control where it is that alone."""
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    if tokenizer.unk_token_id not in (tokenizer.eos_token_id, tokenizer.pad_token_id):
        special -= {tokenizer.unk_token_id}
    return Counter(place for place in row if place in special)


def test_texts_hold_none_but_those_that_the_tokenizer_adds(tokenizer: Any) -> None:
    texts = names_in_texts(tokenizer)
    assert len(texts) >= len(FORMS)
    added = controls(tokenizer, tokenizer("A")["input_ids"])
    split = TextEncoder(tokenizer, (("data.text", "text"),), 64).encode(table(text=texts), None)
    for text, row in zip(texts, tokens(split), strict=True):
        assert controls(tokenizer, row) == added, text


def test_pairs_hold_none_but_those_that_the_tokenizer_adds(tokenizer: Any) -> None:
    texts = names_in_texts(tokenizer)
    added = controls(tokenizer, tokenizer("A", "A")["input_ids"])
    columns = (("data.text", "a"), ("data.text", "b"))
    for pair in (
        {"a": texts, "b": ["A"] * len(texts)},
        {"a": ["A"] * len(texts), "b": texts},
        {"a": texts, "b": texts},
    ):
        split = TextEncoder(tokenizer, columns, 64).encode(table(**pair), None)
        for text, row in zip(texts, tokens(split), strict=True):
            assert controls(tokenizer, row) == added, text


def test_prompts_and_responses_hold_none_but_the_end(tokenizer: Any) -> None:
    texts = names_in_texts(tokenizer)
    columns = (("data.prompt", "ask"), ("data.response", "answer"))
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else 0
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    split = ResponseEncoder(tokenizer, columns, 64).encode(table(ask=texts, answer=texts), None)
    beginning = [tokenizer("")["input_ids"][:1]] if tokenizer.bos_token_id in tokenizer("")["input_ids"][:1] else []
    for text, row in zip(texts, tokens(split), strict=True):
        assert row[-1] == end
        assert controls(tokenizer, row[len(beginning) : -1]) == Counter(), text


def test_other_texts_are_encoded_as_ever(tokenizer: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    plain = TOKENIZERS[request.node.callspec.params["tokenizer"]](tmp_path)
    texts = ["a good film", "AG", "b < a / [x] |", "ünï \u200b 😀", "  two  blanks ", "a\nb"]
    assert encode(tokenizer, texts)["input_ids"] == plain(texts)["input_ids"]
    assert encode(tokenizer, texts, texts[::-1])["input_ids"] == plain(texts, texts[::-1])["input_ids"]
    cut = {"truncation": True, "max_length": 6}
    assert encode(tokenizer, texts, **cut)["input_ids"] == plain(texts, **cut)["input_ids"]


def test_rows_that_name_one_are_counted() -> None:
    """In a template written by hand the tokens are meant, and read as text."""
    tokenizer = TOKENIZERS["bert"](Path())
    assert control_notes(tokenizer, ["a [SEP] b", "c", "d", "[CLS]"], ["a", "b [MASK]", "[sep]", "[PAD]"]) == (
        "rows with the name of a control token, such as [SEP], which is read as text: 3",
    )
    assert control_notes(tokenizer, ["SEP", "[ SEP ]"]) == ()
    split = encoder(spec(MINILM)).encode(table(text=["a [MASK]", "b"]), None)
    assert split.notes == ("rows with the name of a control token, such as [MASK], which is read as text: 1",)


def test_a_model_that_counts_end_tokens_takes_a_text_that_names_one(tmp_path: Path) -> None:
    """T5 refuses a batch whose examples have different numbers of them."""
    tokenizer = TOKENIZERS["t5"](tmp_path)
    read_as_text(tokenizer)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    split = TextEncoder(tokenizer, (("data.text", "text"),), 12).encode(
        table(text=["a film", "a </s> film </s>", "</s>" * 9]), np.array([0, 1, 0])
    )
    assert T5ForSequenceClassification(config)(**split.take(np.arange(3))).logits.shape == (3, 2)


def test_what_a_tokenizer_will_not_read_as_text_is_named(tmp_path: Path) -> None:
    tokenizer = TOKENIZERS["t5"](tmp_path)
    rows = tokenizer(["a b", "a </s> b"])["input_ids"]
    with pytest.raises(
        RequestError, match=r"row 2: its tokenizer reads a part of the text as one of </s>; allowed: te"
    ):
        check_control_tokens(tokenizer, table(text=["a b", "a </s> b"]), rows, own=1)
    check_control_tokens(tokenizer, table(text=["a b"]), rows[:1], own=1)


def test_a_single_character_that_pads_is_text_as_well(tmp_path: Path) -> None:
    """Some pad with one that texts hold."""
    tokenizer = TOKENIZERS["gpt2"](tmp_path)
    tokenizer.pad_token = "a"
    read_as_text(tokenizer)
    split = TextEncoder(tokenizer, (("data.text", "text"),), 64).encode(table(text=["banana"]), None)
    assert tokens(split) == [tokenizer("banana")["input_ids"]]
