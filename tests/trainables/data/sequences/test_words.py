"""Lists of words: which token has the tag, for every kind of tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spaces.errors import RequestError
from tests.trainables.encoded_texts import MODEL, spec, table, tokens
from tests.trainables.tiny_tokenizers import TOKENIZERS
from trainables.data.control_tokens import read_as_text
from trainables.data.sequences.words import WordEncoder, word_encoder, words_after_spaces

WORDS = [["hello", "unbelievably"], ["a", "</s>", "b"]]
TAGS = np.empty(2, dtype=object)
TAGS[:] = [np.array([1, 2]), np.array([0, 2, 1])]


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name not in ("byt5", "esm", "words")])
def test_the_first_token_of_a_word_has_its_tag(name: str, tmp_path: Path) -> None:
    tokenizer = TOKENIZERS[name](tmp_path)
    read_as_text(tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    after = words_after_spaces(tokenizer)
    made = WordEncoder(tokenizer, (("data.tokens", "words"),), 200, after).encode(table(words=WORDS), TAGS)
    for row, words in enumerate(WORDS):
        alone = [
            tokenizer([f" {word}" if after else word], is_split_into_words=True, add_special_tokens=False)["input_ids"]
            for word in words
        ]
        ids, labels = tokens(made)[row], tokens(made, "labels")[row]
        start = next(at for at in range(len(ids)) if ids[at : at + len(alone[0])] == alone[0])
        expected = [
            label for one, tag in zip(alone, TAGS[row], strict=True) for label in [int(tag), *[-100] * (len(one) - 1)]
        ]
        assert labels[start : start + len(expected)] == expected
        assert set(labels[:start] + labels[start + len(expected) :]) <= {-100}


def test_byte_level_tokenizers_read_words_after_a_space(tmp_path: Path) -> None:
    assert words_after_spaces(TOKENIZERS["gpt2"](tmp_path))
    assert not words_after_spaces(TOKENIZERS["bert"](tmp_path))
    assert not words_after_spaces(TOKENIZERS["t5"](tmp_path))


def test_longer_rows_are_cut_and_counted() -> None:
    encode = word_encoder(spec(MODEL, "token-classification", max_length=6, tokens="words"))
    tags = np.empty(2, dtype=object)
    tags[:] = [np.arange(8), np.array([3])]
    made = encode.encode(table(words=[["word"] * 8, ["a"]]), tags)
    assert made.targets is None
    assert tokens(made, "labels") == [[-100, 0, 1, 2, 3, -100], [-100, 3, -100]]
    assert (made.cut.rows, made.cut.longest) == (1, 10)
    batch = made.take(np.array([0, 1]))
    assert batch["labels"][1].tolist() == [-100, 3, -100, -100, -100, -100]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([], "row 2: column 'words' is empty; allowed: at least one word"),
        (["a", " "], "row 2: column 'words' is empty; allowed: text"),
        (["a", 3], "row 2: column 'words' holds 3; allowed: text"),
        ("a b", "row 2: column 'words' holds 'a b'; allowed: a list of words"),
        (["\u200d", "\u200d"], "row 2: no word has tokens; allowed: rows with any"),
    ],
)
def test_words_that_cannot_be_read_are_named(row: object, problem: str) -> None:
    encode = word_encoder(spec(MODEL, "token-classification", tokens="words"))
    with pytest.raises(RequestError, match=problem):
        encode.encode(table(words=[["a"], row]), None)


def test_a_word_that_is_nothing_to_the_tokenizer_has_no_part() -> None:
    encode = word_encoder(spec(MODEL, "token-classification", tokens="words"))
    tags = np.empty(3, dtype=object)
    tags[:] = [np.array([1, 2, 3]), np.array([4, 5]), np.array([6])]
    made = encode.encode(table(words=[["a", "\u200d", "b"], ["\u200d", "a"], ["b"]]), tags)
    assert tokens(made, "labels") == [[-100, 1, 3, -100], [-100, 5, -100], [-100, 6, -100]]
    assert made.notes == ("words that are nothing to the tokenizer, neither learnt nor measured: 2",)


def test_there_must_be_room_for_a_word() -> None:
    with pytest.raises(RequestError, match=r"data\.max_length = 2: no room for words beside 2 tokens of the tokenizer"):
        word_encoder(spec(MODEL, "token-classification", max_length=2, tokens="words"))
