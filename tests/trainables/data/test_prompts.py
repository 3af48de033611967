"""Prompts and the responses to learn, cut so that neither crowds out the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, GPT2Config, PreTrainedTokenizerFast

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from tests.trainables.encoded_texts import MODEL, spec, table, tokens
from trainables.data.encoded_split import Cut, EncodedTokens
from trainables.data.encoders import encoder
from trainables.data.prompts import cut

row = st.lists(st.integers(), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer that begins texts with a token of its own and has none for padding."""
    folder = tmp_path_factory.mktemp("decoder")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["one two three four"] * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(folder)
    GPT2Config(vocab_size=len(fast), n_positions=64, n_layer=1, n_head=1, n_embd=8).save_pretrained(folder)
    return folder


def causal(path: Path, max_length: int) -> SearchSpec:
    return spec(path, "causal-lm", max_length, prompt="ask", response="answer")


def test_only_response_and_end_are_learnt(decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    split = encoder(causal(decoder, 32)).encode(table(ask=["one two"], answer=[" three"]), None)
    ask = tokenizer("one two", add_special_tokens=False)["input_ids"]
    answer = [*tokenizer(" three", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert tokens(split) == [[tokenizer.bos_token_id, *ask, *answer]]
    assert tokens(split, "labels") == [[-100] * (1 + len(ask)) + answer]
    assert split.take(np.array([0])).keys() == {"input_ids", "attention_mask", "labels"}


def test_padding_is_never_learnt_though_it_is_the_end_token(decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    split = encoder(causal(decoder, 32)).encode(table(ask=["a", "a"], answer=["b", "bcdef"]), None)
    batch = split.take(np.array([0, 1]))
    assert batch["input_ids"][0].tolist()[4:] == [tokenizer.eos_token_id] * 4
    assert batch["labels"][0].tolist() == [-100, -100, *batch["input_ids"][0, 2:4].tolist(), *[-100] * 4]
    assert batch["attention_mask"][0].tolist() == [1] * 4 + [0] * 4


def test_a_long_prompt_loses_its_beginning_and_keeps_the_special_token(decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    split = encoder(causal(decoder, 8)).encode(table(ask=["abcdefghijkl"], answer=["xy"]), None)
    assert tokenizer.convert_ids_to_tokens(tokens(split)[0]) == ["<s>", "i", "j", "k", "l", "x", "y", "</s>"]


def test_responses_that_lose_their_end_are_counted(decoder: Path) -> None:
    asks = ["abcd", "abcdefghijkl", "a", "abcdefgh"]
    answers = ["xy", "xy", "klmnopqrst", "klmnopqrst"]
    split = encoder(causal(decoder, 10)).encode(table(ask=asks, answer=answers), None)
    end = AutoTokenizer.from_pretrained(decoder).eos_token_id
    assert [row[-1] == end for row in tokens(split)] == [True, True, False, False]
    assert [len(row) for row in tokens(split)] == [8, 10, 10, 10]
    assert split.cut == Cut(rows=3, responses=2, longest=1 + 8 + 10 + 1)


@given(prompt=row, response=row, room=st.integers(1, 20))
def test_cut_keeps_the_end_of_the_prompt_and_the_start_of_the_response(
    prompt: list[int], response: list[int], room: int
) -> None:
    before, after = cut(prompt, response, room)
    assert before == prompt[len(prompt) - len(before) :]
    assert after == response[: len(after)]
    assert len(before) + len(after) == min(room, len(prompt) + len(response))
    assert len(after) >= min(len(response), (room + 1) // 2)
    assert len(before) >= min(len(prompt), room // 2)


@pytest.mark.parametrize("column", ["ask", "answer"])
def test_an_empty_prompt_or_response_is_named(decoder: Path, column: str) -> None:
    columns = {"ask": ["a", "b"], "answer": ["c", "d"], column: ["a", " "]}
    with pytest.raises(RequestError, match=f"row 2: column '{column}' is empty; allowed: text"):
        encoder(causal(decoder, 16)).encode(table(**columns), None)


def test_a_tokenizer_without_end_token_cannot_learn_responses() -> None:
    with pytest.raises(RequestError, match=r"its tokenizer has no end token; allowed for causal-lm: one that has$"):
        encoder(causal(MODEL, 16))


def test_a_decoder_that_classifies_pads_with_its_end_token(decoder: Path) -> None:
    split = encoder(spec(decoder)).encode(table(text=["a", "abc"]), np.array([0, 1]))
    assert isinstance(split, EncodedTokens)
    assert split.pad_token_id == AutoTokenizer.from_pretrained(decoder).eos_token_id
