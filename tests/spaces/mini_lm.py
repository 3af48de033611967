"""An inventory of MiniLM's shapes, without a model."""

from __future__ import annotations

from spaces.model.inventory import BaseParameter, Inventory, Kind, LinearLayer, TextInput

WIDTH, WIDE, BLOCKS = 384, 1536, 6


def mini_lm() -> Inventory:
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
    parameters = tuple(
        BaseParameter(f"block.{block}.{part}", (WIDTH,), "bias" if part == "value.bias" else "norm", block)
        for block in range(BLOCKS)
        for part in ("value.bias", "norm.weight", "norm.bias")
    )
    parameters += (BaseParameter("tokens.weight", (30_522, WIDTH), "embedding", None),)
    text = TextInput("tokens", 30_522, WIDTH, False, (101, 102), 512, 12, takes_embeddings=True, takes_cache=True)
    return Inventory("bert", layers, 22_713_216, 770, ("classifier",), parameters, text)
