"""Layers have the kind that their names in the architecture mean."""

from __future__ import annotations

import pytest

from tests.trainables.tiny_models import ALL, Tiny
from trainables.base_model.architectures import kind_of


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("attention.self.query", "query"),
        ("attention.output.dense", "output"),
        ("output.dense", "down"),
        ("intermediate.dense", "up"),
        ("self_attn.v_proj", "value"),
        ("mlp.gate_proj", "gate"),
        ("attn.c_attn", "query_key_value"),
        ("mlp.c_proj", "down"),
        ("attn.c_proj", "output"),
        ("layer.1.EncDecAttention.k", "key"),
    ],
)
def test_the_longest_end_of_a_path_decides(path: str, kind: str) -> None:
    assert kind_of(path) == kind


@pytest.mark.parametrize("tiny", ALL, ids=str)
def test_blocks_have_queries_or_all_in_one_and_a_way_up_and_down(tiny: Tiny) -> None:
    kinds = {layer.kind for layer in tiny.inventory.layers}
    assert {"output", "up", "down"} <= kinds
    assert {"query", "key", "value"} <= kinds or "query_key_value" in kinds


def test_a_layer_of_no_known_architecture_is_of_unknown_kind() -> None:
    assert kind_of("mixer.in_proj") == "unknown"
