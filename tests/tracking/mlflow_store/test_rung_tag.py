"""Evaluations come back from their tag as they were, and no text does harm."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.trials.records import Rung
from tracking.mlflow_store.rung_tag import MOST, rung_tag, rungs_in

LIMIT = 8_000  # characters of a tag of MLflow

numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
rungs = st.builds(Rung, step=st.integers(1, 10**9), quality=numbers, loss=numbers, quality_se=numbers, loss_se=numbers)


@given(st.lists(rungs, max_size=MOST))
def test_evaluations_survive(given_rungs: list[Rung]) -> None:
    assert rungs_in(rung_tag(given_rungs)) == tuple(given_rungs)


def test_of_many_evaluations_a_part_is_kept_that_fits() -> None:
    long = dict.fromkeys(("quality", "loss", "quality_se", "loss_se"), -2.2250738585072014e-308)
    made = [Rung(step=10**9 + step, **long) for step in range(999)]
    text = rung_tag(made)
    kept = rungs_in(text)
    assert len(text) < LIMIT
    assert (len(kept), kept[0], kept[-1]) == (MOST, made[0], made[-1])
    gaps = {later.step - earlier.step for earlier, later in pairwise(kept)}
    assert max(gaps) - min(gaps) <= 1


def test_a_number_that_is_not_finite_is_unknown() -> None:
    (kept,) = rungs_in(rung_tag([Rung(step=1, quality=math.nan, loss=math.inf)]))
    assert kept == Rung(step=1)


@pytest.mark.parametrize(
    "text", [None, "", "[", "3", "[3]", "{}", "[[1, 2]]", '[["a", 1, 1, 1, 1]]', '["abcde"]', "[" * 9999]
)
def test_a_spoiled_tag_has_no_evaluations(text: str | None) -> None:
    assert rungs_in(text) == ()
