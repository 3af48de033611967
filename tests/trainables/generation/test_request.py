"""A search that writes answers is checked before anything trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedConfig

from spaces.errors import RequestError
from spaces.spec.sections import Task
from spaces.spec.spec import SearchSpec
from tests.trainables.shipped_models import make_texts, model_of, ship, spec_of
from trainables.base_model.config import load_config
from trainables.data.encoded_split import EncodedSplit
from trainables.data.splits import load_splits
from trainables.generation.request import check_generation, longest_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ship(tmp_path_factory.mktemp("llama"), model_of("llama", Task.CAUSAL_LM))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_texts(tmp_path_factory.mktemp("data"))


def loaded(folder: Path, data: Path, **objective: Any) -> tuple[SearchSpec, PreTrainedConfig, EncodedSplit]:
    spec = spec_of(folder, data, Task.CAUSAL_LM, objective=objective)
    return spec, load_config(spec.model, ()), load_splits(spec).validation


def test_prompts_and_references_come_with_the_validation_split_alone(folder: Path, data: Path) -> None:
    spec, config, split = loaded(folder, data, metric="exact-match", generation={"max_new_tokens": 4})
    assert load_splits(spec).train.prompted is None
    assert split.prompted is not None
    assert len(split.prompted) == len(split)
    first = split.prompted.tokenizer.decode(split.prompted.tokens[: split.prompted.offsets[1]])
    assert first.split()[0] == split.prompted.references[0]  # the response is the first word of the prompt
    assert check_generation(spec, config, {"data.validation": split}) == ()
    assert longest_text(spec) == longest_text(spec, split) == spec.data.max_length
    assert loaded(folder, data)[2].prompted is None


def test_answers_that_exceed_the_positions_are_refused(folder: Path, data: Path) -> None:
    spec, config, split = loaded(folder, data, metric="rouge-l", generation={"max_new_tokens": 14})
    assert check_generation(spec, config, {"data.validation": split}) == ()
    assert longest_text(spec, split) == 20
    spec, config, split = loaded(folder, data, metric="rouge-l", generation={"max_new_tokens": 15})
    with pytest.raises(RequestError, match=r"max_new_tokens = 15: .* 6 tokens, .* 20 positions .* at most 14"):
        check_generation(spec, config, {"data.validation": split})


def test_references_without_an_answer_are_told(folder: Path, data: Path) -> None:
    spec, config, split = loaded(folder, data, metric="numeric-match", generation={"max_new_tokens": 4})
    with pytest.raises(RequestError, match=r"no reference of data\.validation has a number, such as '"):
        check_generation(spec, config, {"data.validation": split})
    generation = {"max_new_tokens": 4, "answer": "^([a-f].*)"}
    spec, config, split = loaded(folder, data, metric="exact-match", generation=generation)
    (note,) = check_generation(spec, config, {"data.validation": split})
    assert note.startswith("data.validation: references without an answer that objective.generation.answer finds")
