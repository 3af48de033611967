"""Plain text for language models: every token is learnt, up to the length."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from spaces.errors import RequestError
from tests.trainables.chat_tokenizers import chat_model
from tests.trainables.encoded_texts import MODEL, spec, table, tokens
from trainables.data.causal_lm.plain_text import plain_text_encoder
from trainables.data.encoded_split import Cut
from trainables.data.encoders import encoder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("texts"))


def test_every_token_is_learnt_the_end_included(model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    split = encoder(spec(model, "causal-lm", 64, text="doc")).encode(table(doc=["what is it", "é\n"]), None)
    expected = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in ("what is it", "é\n")]
    assert tokens(split) == tokens(split, "labels") == expected
    assert split.cut == Cut(longest=max(map(len, expected)))


def test_a_long_text_is_cut_and_counted(model: Path) -> None:
    split = encoder(spec(model, "causal-lm", 4, text="doc")).encode(table(doc=["two and two are four", "a"]), None)
    assert [len(row) for row in tokens(split)] == [4, 2]
    assert (split.cut.rows, split.cut.responses) == (1, 0)


def test_names_of_control_tokens_are_text(model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    split = encoder(spec(model, "causal-lm", 64, text="doc")).encode(table(doc=["a <|end|>"]), None)
    assert tokenizer.convert_tokens_to_ids("<|end|>") not in tokens(split)[0]
    assert len(split.notes) == 1


def test_an_empty_text_is_named(model: Path) -> None:
    with pytest.raises(RequestError, match="row 2: column 'doc' is empty; allowed: text"):
        encoder(spec(model, "causal-lm", text="doc")).encode(table(doc=["a", ""]), None)


def test_a_tokenizer_without_end_token_is_refused() -> None:
    with pytest.raises(RequestError, match=r"its tokenizer has no end token; allowed for causal-lm: one that has$"):
        plain_text_encoder(spec(MODEL, "causal-lm", text="doc"))
