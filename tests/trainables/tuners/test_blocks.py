"""Transformer blocks by the names of their layers."""

from __future__ import annotations

import pytest

from spaces.errors import RequestError
from tests.trainables.short_trainings import attached
from tests.trainables.tiny_models import ALL, BERT, Tiny
from trainables.tuners.blocks import block_of


@pytest.mark.parametrize(
    ("layer", "block"),
    [
        ("bert.encoder.layer.0.output.dense", "bert.encoder.layer.0"),
        ("transformer.h.11.attn.c_attn", "transformer.h.11"),
        ("decoder.block.1.layer.2.DenseReluDense.wo", "decoder.block.1"),
    ],
)
def test_a_block_ends_at_the_first_number(layer: str, block: str) -> None:
    assert block_of(layer) == block


@pytest.mark.parametrize("tiny", ALL, ids=str)
def test_there_are_as_many_blocks_as_the_model_has(tiny: Tiny) -> None:
    assert len({block_of(layer.name) for layer in tiny.inventory.layers}) == tiny.inventory.blocks


def test_an_adapted_block_shows_the_attributes_of_its_base() -> None:
    model = attached(BERT, "pasta")
    block = model.base_model.model.bert.encoder.layer[0]
    assert block.attention is block.base_layer.attention
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = block.nothing_of_the_kind


def test_merging_is_refused() -> None:
    with pytest.raises(RequestError, match="pasta cannot be merged into the base's weights"):
        attached(BERT, "pasta").merge_adapter()
