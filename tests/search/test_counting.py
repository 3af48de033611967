"""Counting a configuration without training."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.counting import count, count_configuration
from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec, load_spec
from tests.conftest import Workplace


@pytest.fixture
def spec(workplace: Workplace) -> SearchSpec:
    return load_spec(workplace.spec())


def test_a_count_is_exact(spec: SearchSpec) -> None:
    """Rank 2 on queries and values of 2 blocks of width 32: 4 layers of 2 · (32 + 32) parameters, 4 bytes each."""
    counted = count(spec, "lora", rank=2, targets="qv")
    assert counted.method == "lora"
    assert (counted.config["rank"], counted.config["targets"]) == (2, "qv")
    assert counted.trainable_parameters == counted.stored_parameters == 4 * 2 * 64
    assert counted.adapter_bytes == 4 * counted.trainable_parameters
    assert sum(layer.trainable_parameters for layer in counted.layers) == counted.trainable_parameters


def test_the_head_is_counted_where_the_budget_counts_it(spec: SearchSpec) -> None:
    alone = count(spec, "lora", rank=2)
    with_head = spec.model_copy(update={"budget": spec.budget.model_copy(update={"count_head": True})})
    assert count(with_head, "lora", rank=2).trainable_parameters == (alone.trainable_parameters + alone.head_parameters)


def test_without_data_the_head_is_counted_for_two_classes_with_a_note(spec: SearchSpec, tmp_path: Path) -> None:
    gone = spec.model_copy(update={"data": spec.data.model_copy(update={"train": str(tmp_path / "gone.csv")})})
    notes: list[str] = []
    counted = count_configuration(gone, "lora", {}, notes.append)
    assert counted.head_parameters == count(spec, "lora").head_parameters
    (note,) = notes
    assert note.endswith("; the head is counted for 2 classes")
    with pytest.warns(UserWarning, match="the head is counted for 2 classes") as warned:
        count(gone, "lora")
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("loar", {}, r"--method loar: unknown \(did you mean lora\?\); allowed: adalora,"),
        ("lora", {"ranks": 2}, "--set ranks"),
        ("lora", {"rank": 0}, "--set rank = 0: Input should be greater than or equal to 1"),
        ("surm-kronecker", {"targets": "qkv", "layers": 3}, "--method surm-kronecker: "),
    ],
)
def test_a_configuration_that_cannot_exist(
    spec: SearchSpec, method: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        count(spec, method, **settings)
