"""Chats in every form that a column may have them in, and those that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spaces.errors import RequestError
from tests.trainables.encoded_texts import table
from trainables.data.causal_lm.messages import Chat, read_chats

ASK, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
BE = {"role": "system", "content": "c"}


def read(*values: Any) -> list[Chat]:
    """The chats of one row, whose columns have these values."""
    names = [f"c{place}" for place in range(len(values))]
    columns = {name: [value] for name, value in zip(names, values, strict=True)}
    return read_chats(table(**columns), [("data.messages", name) for name in names])


def chat(*messages: dict[str, str], learnt: tuple[int, ...]) -> list[Chat]:
    return [Chat(messages, learnt)]


@pytest.mark.parametrize("form", [lambda messages: messages, json.dumps], ids=["list", "JSON"])
def test_a_column_of_chats(form: Any) -> None:
    messages = [BE, ASK, ANSWER, ASK, ANSWER]
    assert read(form(messages)) == chat(*messages, learnt=(2, 4))
    assert read(form([*messages, ASK])) == chat(*messages, learnt=(2, 4)), "what follows the last answer is not read"


def test_fields_without_a_value_are_left_out_and_others_kept() -> None:
    """Columns of parquet have every field in every message."""
    given = [{**ASK, "reasoning_content": None}, {**ANSWER, "reasoning_content": "so"}]
    assert read(given) == chat(ASK, {**ANSWER, "reasoning_content": "so"}, learnt=(1,))
    assert read(given)[0].reference == "b"


@pytest.mark.parametrize("form", [lambda messages: messages, json.dumps], ids=["list", "JSON"])
def test_a_prompt_and_its_completion(form: Any) -> None:
    """Of these, only the completion is learnt."""
    assert read(form([BE, ASK, ANSWER, ASK]), form([ANSWER])) == chat(BE, ASK, ANSWER, ASK, ANSWER, learnt=(4,))


def test_two_texts_are_a_question_and_its_answer() -> None:
    assert read("a", "b") == chat(ASK, ANSWER, learnt=(1,))
    assert read("[1]", "[x]") == chat({**ASK, "content": "[1]"}, {**ANSWER, "content": "[x]"}, learnt=(1,))
    assert read([BE, ASK], "b") == chat(BE, ASK, ANSWER, learnt=(2,))


@pytest.mark.parametrize("given", ["", None, " "])
def test_columns_of_alpaca(given: str | None) -> None:
    assert read("a", given, "b") == chat(ASK, ANSWER, learnt=(1,))
    assert read("a", "i", "b") == chat({**ASK, "content": "a\n\ni"}, ANSWER, learnt=(1,))


MESSAGES = "a list of messages, each {role: …, content: …}"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, f"column 'c0' is empty; allowed: {MESSAGES}"),
        ("", f"column 'c0' is empty; allowed: {MESSAGES}"),
        ([], f"column 'c0' holds a chat without messages; allowed: {MESSAGES}"),
        ("[]", f"column 'c0' holds a chat without messages; allowed: {MESSAGES}"),
        (3, f"column 'c0' holds 3; allowed: {MESSAGES}"),
        ("What?", f"column 'c0' holds 'What?'; allowed: {MESSAGES}"),
        ('[{"role": ]', f"column 'c0' holds '[{{\"role\": ]'; allowed: {MESSAGES}"),
        (["a"], "column 'c0': message 1 is 'a'; allowed: {role: …, content: …}"),
        (
            [ASK, {"from": "gpt", "value": "b"}],
            "column 'c0': message 2 has no role (it has from, value); allowed: {role: …, content: …}",
        ),
        (
            [{**ASK, "role": "human"}, ANSWER],
            "column 'c0': message 1 has role 'human'; allowed: system, developer, user, assistant, tool",
        ),
        ([{"role": "user"}, ANSWER], "column 'c0': message 1 has content nothing; allowed: text"),
        ([{**ASK, "content": 7}, ANSWER], "column 'c0': message 1 has content 7; allowed: text"),
        (
            [{**ASK, "content": [{"type": "text"}]}, ANSWER],
            "column 'c0': message 1 has content [{'type': 'text'}]; allowed: text",
        ),
        ([{**ASK, "content": "\ud800"}, ANSWER], "column 'c0': message 1 is not valid Unicode; allowed: text"),
        ([ASK, {**ANSWER, "content": " "}], "column 'c0': message 2 of assistant is empty; allowed: text"),
        ([ASK], "column 'c0' has no message of the assistant; allowed: one or more, which are learnt"),
        (
            [ANSWER, ASK, ANSWER],
            "column 'c0': message 1 of the assistant is at the beginning; allowed: after one of user or tool",
        ),
        (
            [ASK, ANSWER, ANSWER],
            "column 'c0': message 3 of the assistant is after one of assistant; allowed: after one of user or tool",
        ),
        (
            [BE, ANSWER],
            "column 'c0': message 2 of the assistant is after one of system; allowed: after one of user or tool",
        ),
        ([ASK, BE, ANSWER], "column 'c0': message 2 has role 'system'; allowed: as the first alone"),
    ],
)
def test_a_wrong_chat_is_one_line_with_its_row(value: Any, problem: str) -> None:
    with pytest.raises(RequestError) as error:
        read(value)
    assert str(error.value) == f"data.train = x.csv: row 1: {problem}"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (("a", " "), "column 'c1' is empty"),
        ((3, "b"), "column 'c0' holds 3"),
        (([ASK, ANSWER], [ASK]), "column 'c1' has no message of the assistant"),
        (([ASK], [ASK, BE, ANSWER]), "column 'c0' and column 'c1': message 3 has role 'system'"),
        (("a", 3, "b"), "column 'c1' holds 3; allowed: text, or nothing"),
        (("a", "", ""), "column 'c2' is empty; allowed: text"),
    ],
)
def test_wrong_parts_of_a_chat_are_named(values: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(RequestError) as error:
        read(*values)
    assert str(error.value).startswith(f"data.train = x.csv: row 1: {problem}")
