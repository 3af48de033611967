"""The references of splits, as a metric of the user's own takes them."""

from __future__ import annotations

import numpy as np
import pytest

from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec, parse_spec
from tests.spaces.spec.specs import MINIMAL
from trainables.data.encoded_split import EncodedTokens
from trainables.generation.references import references_of
from trainables.prompted_rows import prompted_rows


def spec(task: Task, **sections: object) -> SearchSpec:
    return parse_spec({**MINIMAL, "model": {"path": "m", "task": task}, **sections})


def split(targets: np.ndarray | None, **further: object) -> EncodedTokens:
    """Three rows of two, one and one tokens."""
    columns = {"input_ids": np.arange(4, dtype=np.int32)}
    return EncodedTokens(targets, columns, np.array([0, 2, 3, 4]), {"input_ids": 0, "labels": -100}, **further)  # type: ignore[arg-type]


def test_classes_numbers_and_sets() -> None:
    names = ("bad", "good")
    classes = split(np.array([1, 0, 1]))
    assert references_of(spec(Task.SEQUENCE_CLASSIFICATION), classes, names) == ["good", "bad", "good"]
    numbers = split(np.array([0.5, 1, -2], dtype=np.float32))
    assert references_of(spec(Task.REGRESSION), numbers, ()) == [0.5, 1.0, -2.0]
    sets = split(np.array([[0, 1], [1, 1], [0, 0]], dtype=np.float32))
    assert references_of(spec(Task.MULTI_LABEL_CLASSIFICATION), sets, names) == [["good"], ["bad", "good"], []]


def test_tags_of_the_first_tokens_of_words() -> None:
    columns = {"input_ids": np.arange(4, dtype=np.int32), "labels": np.array([1, -100, 0, 1], dtype=np.int32)}
    tags = EncodedTokens(None, columns, np.array([0, 2, 4]), {"input_ids": 0, "labels": -100})
    tagged = spec(Task.TOKEN_CLASSIFICATION, data={"train": "t.csv", "tokens": "words"})
    assert references_of(tagged, tags, ("O", "B-PER")) == [["B-PER"], ["O", "B-PER"]]


@pytest.mark.parametrize(("answer", "found"), [(None, ["is #3", "four", ""]), ("#(.)", ["3", "", ""])])
def test_answers_are_cut_out(answer: str | None, found: list[str]) -> None:
    written = prompted_rows([[1], [2], [3]], [" is #3 ", "four", ""], None, [0])
    data = {"train": "t.csv", "prompt": "p", "response": "r"}
    objective = {"metric": "m:f", "generation": {"answer": answer}}
    wanted = spec(Task.CAUSAL_LM, data=data, objective=objective)
    assert references_of(wanted, split(None, prompted=written), ()) == found
