"""A cell of the table of models is a training or a refusal in words."""

from __future__ import annotations

import pytest

from spaces.spec.sections import Task
from tests.bench.matrix import Cell, models, page, tried
from tests.trainables.tiny_models import Tiny

RESNET = Tiny("resnet", Task.IMAGE_CLASSIFICATION)


@pytest.mark.slow
def test_a_cell_trains_or_says_why_not() -> None:
    assert tried(Tiny("phi3", Task.CAUSAL_LM), "lora") == Cell("lora", None)
    refused = tried(RESNET, "lora")
    assert refused.refusal is not None
    assert "resnet has no matching linear layer" in refused.refusal


def test_the_page_has_a_row_for_each_model() -> None:
    text = page({RESNET: [Cell("lora", "lora: no layer"), Cell("full", None)]})
    assert "1 of 2 cells train" in text
    assert "| resnet | image-classification | 1 of 2 | – | lora: no layer |" in text


def test_every_family_is_tried_once_and_whole_with_all_its_tasks() -> None:
    some, whole = list(models(whole=False)), list(models(whole=True))
    assert len(some) == len({one.family for one in some}) > 30
    assert set(some) < set(whole)
    assert Tiny("bert", Task.TOKEN_CLASSIFICATION) in whole
