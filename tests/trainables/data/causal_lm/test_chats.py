"""Chats become tokens and labels, cut and counted; those that cannot are told with their row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from tests.trainables.chat_tokenizers import chat_model, trl_template
from tests.trainables.encoded_texts import spec, table, tokens
from tests.trainables.tiny_tokenizers import TOKENIZERS
from trainables.data.causal_lm.chats import ChatEncoder, LastTurn, chat_encoder
from trainables.data.encoded_split import Cut
from trainables.data.encoders import encoder

ASK, ANSWER = {"role": "user", "content": "what is it"}, {"role": "assistant", "content": "two and two"}
MORE, LAST = {"role": "user", "content": "are you"}, {"role": "assistant", "content": "four"}
CHAT = [ASK, ANSWER, MORE, LAST]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("chats"))


def chats(model: Path, max_length: int = 128, **data: Any) -> SearchSpec:
    return spec(model, "causal-lm", max_length, **{"messages": "chat", **data})


def encoding(model: Path, max_length: int = 128, **data: Any) -> ChatEncoder:
    made = encoder(chats(model, max_length, **data))
    assert isinstance(made, ChatEncoder)
    return made


def test_the_turns_of_the_assistant_are_the_labels(model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    split = encoding(model).encode(table(chat=[CHAT]), None)
    assert tokens(split) == [tokenizer.apply_chat_template(CHAT, return_dict=False)]
    (labels,) = tokens(split, "labels")
    assert tokenizer.decode([one for one in labels if one != -100]) == "two and two<|im_end|>\nfour<|im_end|>\n"
    assert all(one in (-100, there) for one, there in zip(labels, tokens(split)[0], strict=True))
    assert split.take(np.array([0])).keys() == {"input_ids", "attention_mask", "labels"}
    assert split.notes == ()


def test_every_form_gives_the_same_tokens(model: Path) -> None:
    split = encoding(model).encode(table(chat=[CHAT[:2]]), None)
    for columns in (
        {"question": ["what is it"], "answer": ["two and two"]},
        {"prompt": [[ASK]], "completion": [[ANSWER]]},
        {"instruction": ["what is it"], "input": [""], "output": ["two and two"]},
    ):
        other = encoding(model, messages=list(columns)).encode(table(**columns), None)
        assert (tokens(other), tokens(other, "labels")) == (tokens(split), tokens(split, "labels"))


def test_a_long_chat_loses_what_is_before_its_first_answer_and_its_end(model: Path) -> None:
    whole = encoding(model).encode(table(chat=[CHAT]), None)
    (ids,), (labels,) = tokens(whole), tokens(whole, "labels")
    first = next(place for place, one in enumerate(labels) if one != -100)
    split = encoding(model, 10).encode(table(chat=[CHAT]), None)
    assert tokens(split) == [ids[first - 5 : first + 5]]
    assert tokens(split, "labels") == [labels[first - 5 : first + 5]]
    assert split.cut == Cut(rows=1, responses=1, longest=len(ids))
    shorter = encoding(model, len(ids) - 2).encode(table(chat=[CHAT]), None)
    assert shorter.cut == Cut(rows=1, responses=1, longest=len(ids))
    assert tokens(shorter) == [ids[:-2]]


def test_a_beginning_token_is_never_cut_off(tmp_path: Path) -> None:
    llama = chat_model(tmp_path, trl_template("llama3"))
    split = encoding(llama, 10).encode(table(chat=[CHAT]), None)
    begin = AutoTokenizer.from_pretrained(llama).bos_token_id
    assert [place for place, one in enumerate(tokens(split)[0]) if one == begin] == [0]


def test_names_of_control_tokens_are_read_as_text_and_told(model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    tricky = [ASK, {**ANSWER, "content": "two<|im_end|>\n<|im_start|>user"}]
    split = encoding(model).encode(table(chat=[tricky]), None)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokens(split)[0].count(end) == 2
    assert tokenizer.decode(tokens(split)[0]) == tokenizer.apply_chat_template(tricky, tokenize=False)
    (note,) = split.notes
    assert note.startswith("rows with the name of a control token, such as <|im_end|>, which is read as text: 1")


def test_turns_without_an_end_and_shared_tokens_are_told(tmp_path: Path) -> None:
    source = (
        "{% for m in messages %}{{ m.role + ':\\n' + m.content }}{% if not loop.last %}{{ '\\n' }}{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}{{ '\\nassistant:\\n' }}{% endif %}"
    )
    plain = chat_model(tmp_path, source)
    split = encoding(plain).encode(table(chat=[[ASK, {**ANSWER, "content": "\nfour"}], CHAT[:2]]), None)
    assert split.notes == (
        "rows with a token that lies half within an assistant's turn, and is not learnt: 1",
        "rows whose turns end without a control token, so that no end is learnt: 2",
    )


def test_a_last_turn_is_asked_for_as_it_was_learnt(model: Path) -> None:
    made = encoding(model)
    rows = table(chat=[CHAT, [*CHAT, ASK], [{**ASK, "content": "<|im_end|>"}, ANSWER]])
    turns, split = made.last_turns(rows), made.encode(rows, None)
    assert [turn.reference for turn in turns] == ["four", "four", "two and two"]
    for turn, ids, labels in zip(turns, tokens(split), tokens(split, "labels"), strict=True):
        assert isinstance(turn, LastTurn)
        before = len(turn.prompt)
        assert list(turn.prompt) == ids[:before]
        assert labels[before - 1] == -100
        assert all(one != -100 for one in labels[before:])


def test_prompts_for_written_answers_are_those_of_the_last_turns(model: Path, tmp_path: Path) -> None:
    rows = table(chat=[CHAT, CHAT[:2]])
    assert encoding(model).encode(rows, None).prompted is None
    made = replace(encoding(model), writes=True)
    turns, prompted = made.last_turns(rows), made.encode(rows, None).prompted
    assert prompted is not None
    assert prompted.references == ("four", "two and two")
    assert prompted.lengths().tolist() == [len(turn.prompt) for turn in turns]
    assert prompted.tokens.tolist() == [one for turn in turns for one in turn.prompt]
    ends = {made.tokenizer.eos_token_id, made.tokenizer.convert_tokens_to_ids("<|im_end|>")}
    assert set(prompted.end_token_ids) == ends
    llama = chat_model(tmp_path, trl_template("llama3"))
    whole = encoding(llama).last_turns(rows)[0].prompt
    short = replace(encoding(llama, 6), writes=True).encode(rows, None).prompted
    assert short is not None
    assert tuple(short.tokens[: short.offsets[1]].tolist()) == (whole[0], *whole[-5:])


GEMMA_ORDER = "Conversation roles must alternate user/assistant/user/assistant/..."


@pytest.mark.parametrize(
    ("name", "chat", "problem"),
    [
        ("gemma", [{"role": "system", "content": "s"}, *CHAT], "the chat template refuses the chat (System role not"),
        (
            "gemma",
            [ASK, ASK, ANSWER],
            f"the chat template refuses the chat ({GEMMA_ORDER}); allowed: a chat as it wants",
        ),
        (
            "idefics3",
            CHAT,
            "the chat template does not write the content of message 2 into the assistant's turn; allowed:",
        ),
        ("gptoss", CHAT, "the chat template does not tell where message 2 ends; allowed: a template that marks"),
    ],
)
def test_a_chat_that_a_template_does_not_take_is_named(
    tmp_path: Path, name: str, chat: list[dict[str, str]], problem: str
) -> None:
    made = encoding(chat_model(tmp_path, trl_template(name)))
    with pytest.raises(RequestError) as error:
        made.encode(table(chat=[CHAT[:2] if name == "gptoss" else CHAT, chat] if name != "idefics3" else [chat]), None)
    row = 1 if name == "idefics3" else 2
    assert str(error.value).startswith(f"data.train = x.csv: row {row}: {problem}")


def test_a_tokenizer_without_places_is_refused(tmp_path: Path) -> None:
    TOKENIZERS["byt5"](tmp_path).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "vocab_size": 400}')
    with pytest.raises(
        RequestError, match=r"does not tell the places of its tokens in a text; allowed for data\.messages"
    ):
        chat_encoder(chats(tmp_path))
