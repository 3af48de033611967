"""Ranks by kind, and starts of LoRA: counts, what is refused, and their choice in a search."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spaces.errors import RequestError
from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory, LinearLayer
from spaces.space.proposal import Rejected
from spaces.space.search_space import Space
from spaces.space.suggesters import FixedSuggester
from spaces.spec.spec import parse_spec

LAYERS = tuple(
    LinearLayer(f"layer.{block}.{kind}", kind, block, out, inner)
    for block in range(2)
    for kind, out, inner in (("query", 8, 8), ("output", 8, 8), ("up", 32, 8), ("down", 8, 32))
)
INVENTORY = Inventory("made-up", LAYERS, base_parameters=10_000, head_parameters=10, head_modules=("head",))
BY_KIND = {"attention": 3, "mlp": 2}


def count(**settings: Any) -> int:
    return method("lora").count(configuration("lora", {"targets": "all", **settings}), INVENTORY).trainable_parameters


def test_ranks_by_kind_count_each_layer_by_its_own() -> None:
    assert count(rank=BY_KIND) == 2 * (2 * 3 * 16 + 2 * 2 * 40)
    assert count(rank=BY_KIND, variant="dora") == count(rank=BY_KIND) + 2 * (8 + 8 + 32 + 8)
    assert count(rank=BY_KIND, targets="mlp") == 2 * 2 * 2 * 40
    assert count(rank={"attention": 2, "mlp": 2}) == count(rank=2)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"rank": {"attention": 9, "mlp": 1}}, "rank = 9: more than layer.0.query takes; allowed: at most 8"),
        ({"rank": 9}, "rank = 9: more than the targets take; allowed: at most 8"),
        ({"rank": 3, "init": "orthogonal"}, "rank = 3: init = orthogonal halves it; allowed: even ranks"),
    ],
)
def test_a_rank_that_a_layer_does_not_take_is_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(Unfit) as refused:
        count(**settings)
    assert str(refused.value) == line


def test_a_layer_of_no_kind_has_no_rank_by_kind() -> None:
    inventory = replace(INVENTORY, layers=(replace(LAYERS[0], kind="unknown"), *LAYERS[1:]))
    chosen = configuration("lora", {"targets": {"names": ["query"]}, "rank": BY_KIND})
    with pytest.raises(Unfit, match=r"layer\.0\.query is of neither kind"):
        method("lora").count(chosen, inventory)


def test_orthogonal_fits_even_ranks() -> None:
    chosen = configuration("lora", {"targets": "all", "init": "orthogonal"})
    for allowance in range(count(rank=2), count(rank=8), 37):
        assert method("lora").fit(chosen, INVENTORY, allowance).rank in {2, 4, 6}


def test_a_start_at_a_part_of_the_weight_ships_it_too() -> None:
    for init in ("pissa", "olora"):
        counted = method("lora").count(configuration("lora", {"init": init, "targets": "all"}), INVENTORY)
        assert counted.trainable_parameters == count()
        assert counted.stored_parameters == 2 * count()
        assert counted.adapter_bytes == 8 * count()
        with pytest.raises(ValueError, match="not with variant = dora"):
            configuration("lora", {"init": init, "variant": "dora"})


def test_ranks_by_kind_are_choices_of_a_search_within_its_budget() -> None:
    knobs = {"rank": [2, BY_KIND, {"attention": 8, "mlp": 8}], "targets": "all", "layers": "all"}
    spec = parse_spec(
        {
            "name": "ranks",
            "model": {"path": "base"},
            "data": {"train": "train.csv", "text": "text", "label": "label"},
            "budget": {"parameters": 600},
            "methods": {"lora": knobs},
        }
    )
    space = Space(spec.methods, INVENTORY, Budget(600, 1))
    space.check()
    values = {"learning_rate_multiplier": 1.0}
    by_kind = space.propose(FixedSuggester({**values, "lora.rank": '{"attention": 3, "mlp": 2}'}))
    assert by_kind.count.trainable_parameters == count(rank=BY_KIND) <= 600
    assert by_kind.configuration.model_dump(mode="json")["rank"] == BY_KIND
    with pytest.raises(Rejected, match="outside the budget"):
        space.propose(FixedSuggester({**values, "lora.rank": '{"attention": 8, "mlp": 8}'}))
    for wrong in ({"attention": 3}, {"attention": 0, "mlp": 2}, {"attention": 3, "mlp": 2, "norm": 1}):
        with pytest.raises(RequestError, match=r"methods\.lora"):
            parse_spec({**spec.model_dump(mode="json"), "methods": {"lora": {"rank": wrong}}})
