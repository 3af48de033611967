"""Texts and pairs become what the tokenizer alone makes of them, cut to their room."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from spaces.errors import RequestError
from tests.trainables.encoded_texts import MODEL, spec, table, tokens
from trainables.data.encoded_split import Cut
from trainables.data.encoders import encoder


def test_texts_are_what_the_tokenizer_makes_of_them() -> None:
    texts = ["A short one.", "words " * 50]
    split = encoder(spec(MODEL)).encode(table(text=texts), np.array([1, 0]))
    expected = AutoTokenizer.from_pretrained(MODEL)(texts, truncation=True, max_length=16)
    assert tokens(split) == expected["input_ids"]
    assert [len(row) for row in tokens(split)] == [6, 16]
    batch = split.take(np.array([0, 1]))
    padded = AutoTokenizer.from_pretrained(MODEL)(
        texts, truncation=True, max_length=16, padding="longest", return_tensors="pt"
    )
    assert batch.keys() == {*padded, "labels"}
    for name, tensor in padded.items():
        torch.testing.assert_close(batch[name], tensor)


def test_pairs_are_told_apart_by_their_token_types() -> None:
    pair = encoder(spec(MODEL, text=["a", "b"], max_length=32))
    split = pair.encode(table(a=["one two"], b=["three"]), np.array([0]))
    assert tokens(split, "token_type_ids") == [[0, 0, 0, 0, 1, 1]]
    assert pair.columns == (("data.text", "a"), ("data.text", "b"))


def test_a_long_pair_is_cut_where_it_is_longest() -> None:
    split = encoder(spec(MODEL, text=["a", "b"])).encode(table(a=["word " * 99], b=["three"]), np.array([0]))
    assert sum(tokens(split, "token_type_ids")[0]) == 2
    assert len(tokens(split)[0]) == 16


def test_rows_that_are_cut_are_counted() -> None:
    """Against the tokenizer alone: those with more tokens than their room, not those that just fit."""
    texts = ["word " * count for count in (1, 13, 14, 15, 50)]
    split = encoder(spec(MODEL)).encode(table(text=texts), None)
    lengths = [len(row) for row in AutoTokenizer.from_pretrained(MODEL)(texts)["input_ids"]]
    assert lengths == [3, 15, 16, 17, 52]
    assert split.cut == Cut(rows=2, longest=52)
    pairs = encoder(spec(MODEL, text=["a", "b"])).encode(table(a=texts, b=["x"] * 5), None)
    assert pairs.cut == Cut(rows=4, longest=54)
    assert encoder(spec(MODEL)).encode(table(text=texts[:2]), None).cut == Cut(longest=15)


@pytest.mark.parametrize(("columns", "least"), [(["text"], 3), (["text", "text"], 5)])
def test_a_length_without_room_for_text_is_refused(columns: list[str], least: int) -> None:
    with pytest.raises(RequestError, match=rf"data\.max_length = {least - 1}: no room .*; allowed: at least {least}$"):
        encoder(spec(MODEL, text=columns, max_length=least - 1))
    split = encoder(spec(MODEL, text=columns, max_length=least)).encode(table(text=["one two"]), None)
    assert len(tokens(split)[0]) == least


def test_a_text_of_nothing_that_the_tokenizer_keeps_is_named() -> None:
    with pytest.raises(RequestError, match=r"row 2: .* has no tokens; allowed: text with any"):
        encoder(spec(MODEL)).encode(table(text=["a", "\u200b"]), None)
