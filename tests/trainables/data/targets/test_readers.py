"""Each task has its reader of targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.trainables.encoded_texts import spec
from trainables.data.targets.label_sets import LabelColumns, LabelLists
from trainables.data.targets.readers import target_reader
from trainables.data.targets.single import Classes, Numbers
from trainables.data.targets.tags import Tags


@pytest.mark.parametrize(
    ("task", "data", "expected"),
    [
        ("sequence-classification", {}, Classes("label")),
        ("image-classification", {"image": "a", "label": "b"}, Classes("b")),
        ("regression", {}, Numbers("label")),
        ("multi-label-classification", {}, LabelLists("label")),
        ("multi-label-classification", {"label": ["a", "b"]}, LabelColumns(("a", "b"))),
        ("token-classification", {"tokens": "words"}, Tags("label", "words", chunks=True)),
        ("seq2seq-lm", {"prompt": "a", "response": "b"}, None),
        ("causal-lm", {"prompt": "a", "response": "b"}, None),
    ],
)
def test_readers_by_task(task: str, data: dict[str, Any], expected: object) -> None:
    assert target_reader(spec(Path("m"), task, **data)) == expected
