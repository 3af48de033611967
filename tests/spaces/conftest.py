"""An inventory as of MiniLM's shapes, without a model."""

from __future__ import annotations

import pytest

from spaces.inventory import BaseParameter, Inventory, Kind, LinearLayer

WIDTH, WIDE, BLOCKS = 384, 1536, 6


@pytest.fixture
def inventory() -> Inventory:
    shapes: list[tuple[Kind, int, int]] = [
        ("query", WIDTH, WIDTH),
        ("key", WIDTH, WIDTH),
        ("value", WIDTH, WIDTH),
        ("output", WIDTH, WIDTH),
        ("up", WIDE, WIDTH),
        ("down", WIDTH, WIDE),
    ]
    layers = tuple(
        LinearLayer(f"block.{block}.{kind}", kind, block, rows, columns)
        for block in range(BLOCKS)
        for kind, rows, columns in shapes
    )
    words = BaseParameter("embeddings.word_embeddings.weight", (30_522, WIDTH), "embedding", None)
    return Inventory(
        "bert",
        layers,
        base_parameters=22_713_216,
        head_parameters=770,
        head_modules=("classifier",),
        parameters=(words,),
    )
