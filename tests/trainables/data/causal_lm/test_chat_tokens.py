"""Tokens of rendered chats: which lie within turns, and names of control tokens in messages that are text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.trainables.chat_tokenizers import CONTROLS, chat_tokenizer
from trainables.data.causal_lm.chat_tokens import ChatTokenizer, ChatTokens, Rendered


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return chat_tokenizer()


def one(tokenizer: Any, text: str, turns: list[tuple[int, int]], separator: str | None = None) -> ChatTokens:
    return ChatTokenizer(tokenizer).tokens([Rendered(text, turns, separator)])[0]


def test_a_token_is_learnt_if_all_of_it_lies_in_a_turn(tokenizer: Any) -> None:
    text = "<|user|>what<|end|>éß four<|end|>"
    start, end = text.index("é"), len(text)
    found = one(tokenizer, text, [(start, end)])
    expected = tokenizer("<|user|>what<|end|>", add_special_tokens=False)["input_ids"]
    answer = tokenizer("éß four<|end|>", add_special_tokens=False)["input_ids"]
    assert found.ids == [*expected, *answer]
    assert found.learnt.tolist() == [False] * len(expected) + [True] * len(answer)
    assert (found.shared, found.stops, found.commands) == (False, True, False)


@pytest.mark.parametrize("turn", [(2, 9), (1, 8)], ids=["begins within a token", "ends within a token"])
def test_a_token_that_is_half_in_a_turn_is_not_learnt_and_told(tokenizer: Any, turn: tuple[int, int]) -> None:
    text = "a\n\nfour\n\n"
    pieces = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert (1, 3) in pieces
    assert (7, 9) in pieces
    found = one(tokenizer, text, [turn])
    assert found.learnt.tolist() == [start >= turn[0] and end <= turn[1] for start, end in pieces]
    assert found.shared
    assert not found.stops


def test_names_of_control_tokens_are_text_in_messages_alone(tokenizer: Any) -> None:
    read = ChatTokenizer(tokenizer)
    given = [{"role": "user", "content": "a <|end|><|end|> b", "more": {"deep": ["<|user|>"]}}]
    messages, separator = read.separated(given)
    assert separator is not None
    assert given[0]["content"] == "a <|end|><|end|> b", "what was given is unchanged"
    assert messages[0]["content"].replace(separator, "") == "a <|end|><|end|> b"
    assert messages[0]["more"]["deep"] != ["<|user|>"]
    text = f"<|user|>{messages[0]['content']}<|end|>four<|end|>"
    found = one(tokenizer, text, [(text.index("four"), len(text))], separator)
    names = tokenizer.convert_ids_to_tokens(found.ids)
    controls = [name for name in names if name in CONTROLS]
    assert controls == ["<|user|>", "<|end|>", "<|end|>"]
    assert tokenizer.decode(found.ids) == "<|user|>a <|end|><|end|> b<|end|>four<|end|>"
    learnt = np.array(found.ids)[found.learnt]
    assert tokenizer.decode(learnt) == "four<|end|>"


def test_messages_without_such_names_stay_as_they_are(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "a < b |end|>"}]
    assert ChatTokenizer(tokenizer).separated(messages) == (messages, None)


def test_a_separator_is_none_of_the_messages_characters(tokenizer: Any) -> None:
    _, first = ChatTokenizer(tokenizer).separated([{"content": "<|end|>"}])
    _, other = ChatTokenizer(tokenizer).separated([{"content": f"<|end|>{first}"}])
    assert other not in (None, first)


def test_a_tokenizer_that_drops_the_separator_is_noticed(tokenizer: Any) -> None:
    text = "<|end|>"
    assert one(tokenizer, text, [], separator="e").commands


def test_blanks_that_belong_to_no_token_move_no_beginning() -> None:
    """A tokenizer of words drops the blanks between them."""
    words = ["[unk]", "user", "what", "assistant", "four"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[unk]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[unk]")
    text = "user\nwhat\nassistant\nfour"
    found = one(fast, text, [(text.index("four"), len(text))])
    assert found.learnt.tolist() == [False, False, False, True]
    assert not found.shared


def test_blanks_that_a_token_leaves_out_of_its_place_are_its_own(tokenizer: Any) -> None:
    """A turn that begins after a blank shares the token of that blank and the word."""
    trimming = chat_tokenizer()
    trimming.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    text = "assistant: what"
    places = trimming(text, return_offsets_mapping=True)["offset_mapping"]
    assert places[-1] == (11, 15), "the blank before it is in no place"
    found, exact = (one(each, text, [(11, 15)]) for each in (trimming, tokenizer))
    assert found.ids == exact.ids
    assert found.learnt.tolist() == exact.learnt.tolist() == [False] * len(found.ids)
    assert found.shared
    assert exact.shared
    whole = one(trimming, text, [(10, 15)])
    assert whole.learnt.tolist() == [False] * (len(whole.ids) - 1) + [True]
