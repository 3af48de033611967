"""Fields of a spec that are read in several forms."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from spaces.spec.sections import BudgetSection, DataSection, ResourcesSection, Section, TrainingSection


@pytest.mark.parametrize(
    ("written", "read"),
    [(50_000, 50_000), ("50_000", 50_000), ("0.3%", "0.3%"), (" 100 % ", "100%"), ("1e-3%", "1e-3%"), ("7", 7)],
)
def test_amounts_are_counts_or_percentages(written: Any, read: int | str) -> None:
    assert BudgetSection(parameters=written).parameters == read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0%", "(0%, 100%]"),
        ("100.1%", "(0%, 100%]"),
        ("nan%", "(0%, 100%]"),
        ("some", "neither a number nor a percentage"),
        (0.5, "neither a number nor a percentage"),
        (None, "neither a number nor a percentage"),
        (2**63, "more than any model has"),
        (0, "greater than or equal to 1"),
    ],
)
def test_other_amounts_are_refused(written: Any, said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        BudgetSection(parameters=written)
    assert said in str(raised.value)


@pytest.mark.parametrize(("written", "read"), [("200KB", 200_000), ("1KiB", 1_024), (7, 7), (None, None)])
def test_sizes_have_units(written: Any, read: int | None) -> None:
    assert BudgetSection(parameters=1, bytes=written).bytes == read


@pytest.mark.parametrize(("written", "read"), [(None, None), ("a", ("a",)), (["a"], ("a",)), (["a", "b"], ("a", "b"))])
def test_one_text_column_may_be_written_without_a_list(written: Any, read: tuple[str, ...] | None) -> None:
    assert DataSection(train="t.csv", text=written).text == read


@pytest.mark.parametrize("gpus", ["auto", 0, 0.25, 1, 2.0])
def test_gpus_are_a_part_of_one_or_whole(gpus: Any) -> None:
    assert ResourcesSection(gpus=gpus).gpus == gpus


def test_one_and_a_half_gpus_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"resources\.gpus = 1\.5: allowed: auto, a part of one GPU"):
        ResourcesSection(gpus=1.5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"max_steps": 9, "num_train_epochs": 2}, "training.max_steps = 9: beside num_train_epochs = 2; allowed: one"),
        ({"max_steps": 9, "eval_steps": 10}, "training.eval_steps = 10: a training has 9 steps; allowed: at most so"),
        ({"eval_steps": 2.5}, "training.eval_steps = 2.5: allowed: a fraction below 1, or a whole number"),
        ({"early_stopping_patience": 2}, "allowed: with load_best_model_at_end: true"),
        ({"optim": "sgd"}, "Input should be 'adamw_torch', 'adamw_8bit' or 'adafactor'"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "Input should be 'linear', 'cosine'"),
    ],
)
def test_trainings_that_contradict_themselves_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TrainingSection(**fields)
    assert said in str(raised.value)


@pytest.mark.parametrize(("given", "every"), [(None, None), (4, 4), (0.1, 3), (0.001, 1)])
def test_evaluations_come_every_so_many_steps(given: float | None, every: int | None) -> None:
    assert TrainingSection(max_steps=25, eval_steps=given).evaluation_interval == every


def sections(model: type[BaseModel] = Section) -> list[type[BaseModel]]:
    return [one for child in model.__subclasses__() for one in (child, *sections(child))]


def test_every_field_of_a_section_has_a_description_and_no_section_changes() -> None:
    ours = [one for one in sections() if one.__module__ == "spaces.spec.sections"]
    assert len(ours) == 11
    for section in ours:
        assert section.__doc__
        assert all(field.description for field in section.model_fields.values()), section
        assert section.model_config["frozen"]
        assert section.model_config["extra"] == "forbid"
