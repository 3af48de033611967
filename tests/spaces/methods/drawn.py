"""Inventories and places for hypothesis to draw."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from spaces.methods.registry import method
from spaces.model.inventory import LAYER_RANGES, TARGETS, Inventory, Kind, LinearLayer

KINDS: tuple[Kind, ...] = ("query", "key", "value", "query_key_value", "output", "up", "gate", "down")


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5, unique=True))
    blocks = draw(st.integers(1, 4))
    sides = st.integers(1, 30)
    layers = tuple(
        LinearLayer(f"{block}.{kind}", kind, block, draw(sides), draw(sides))
        for block in range(blocks)
        for kind in kinds
    )
    size = sum(layer.size for layer in layers)
    return Inventory("drawn", layers, size + draw(st.integers(0, 500)), draw(st.integers(0, 9)), ("classifier",))


PLACES = st.fixed_dictionaries(
    {"targets": st.sampled_from(TARGETS), "layers": st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 6))}
)


def placed(name: str, places: dict[str, Any]) -> dict[str, Any]:
    return places if method(name).placed else {}
