"""The quality of written answers, from the spec to the number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec
from spaces.trials.row_values import unpack
from tests.trainables.prompts_of_tokens import PROMPTS, rows_of, step_by_step
from tests.trainables.shipped_models import spec_of
from tests.trainables.tiny_models import LLAMA
from trainables.generation.quality import compared, of_answers


def spec(folder: Path, **objective: Any) -> SearchSpec:
    return spec_of(folder, folder / "data.jsonl", Task.CAUSAL_LM, objective=objective)


def test_answers_are_compared_as_the_spec_says(tmp_path: Path) -> None:
    model = LLAMA.model().eval()
    references = [" ".join(map(str, step_by_step(model, prompt, 3))) for prompt in PROMPTS]
    references[2] = "other"
    rows = rows_of(*PROMPTS, references=references)
    found = of_answers(spec(tmp_path, metric="exact-match", generation={"max_new_tokens": 3}), model, rows)
    assert found.quality == pytest.approx(3 / 4)
    values = unpack(found.row_values)
    assert values is not None
    assert values.values.tolist() == [1, 1, 0, 1]


def test_the_group_of_the_expression_is_compared_on_both_sides(tmp_path: Path) -> None:
    rows = rows_of([3], [4], references=["5 and 6 make\n#### 1,100", "#### 7"])
    texts = ["so\n#### 1100.0", "7"]
    numbers = spec(tmp_path, metric="numeric-match", generation={"answer": "#### (.+)"})
    assert compared(numbers, texts, rows).quality == pytest.approx(1 / 2)
    assert compared(spec(tmp_path, metric="numeric-match", generation={}), texts, rows).quality == 1
