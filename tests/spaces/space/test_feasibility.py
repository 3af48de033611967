"""Methods without a configuration within the budget are left out, and an empty space is explained."""

from __future__ import annotations

import pytest

from spaces.errors import RequestError
from spaces.methods.registry import methods
from spaces.model.budget import Budget
from spaces.model.inventory import Inventory
from spaces.space.search_space import Space
from tests.spaces.mini_lm import BLOCKS, WIDTH
from tests.spaces.space.random_proposals import proposals

ALL = {name: {} for name in ("lora", "sparta", "surm-circulant", "dst", "full")}
ANY_COUNT = ("dst", "sparta")  # one entry is enough at every place
PLACED = tuple(
    name for name, known in methods().items() if known.configuration.model_fields.keys() & {"layers", "targets"}
)


def test_what_cannot_fit_is_left_out_and_nothing_at_all_is_an_error(inventory: Inventory) -> None:
    assert Space(ALL, inventory, Budget(68_000, 200)).names == ("lora", "sparta", "surm-circulant", "dst")
    assert Space(ALL, inventory, Budget(22_713_216, 20_000_000)).names == ("full",)
    with pytest.raises(RequestError, match="smallest possible trains 768") as caught:
        Space({"lora": {}, "surm-circulant": {}}, inventory, Budget(700, 1)).check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "at_least"), [("lora", 1), ("lora", 1_000), ("sparta", 100), ("surm-circulant", 10)])
def test_the_limit_on_bytes_is_named_where_it_leaves_nothing(name: str, at_least: int, inventory: Inventory) -> None:
    with pytest.raises(RequestError, match=r"^budget\.bytes = 1: no configuration of at least") as caught:
        Space({name: {}}, inventory, Budget(68_000, at_least, bytes=1)).check()
    lightest = int(str(caught.value).partition("possible has ")[2].split()[0].replace(",", ""))
    roomy = Space({name: {}}, inventory, Budget(68_000, at_least))
    # LoRA's smallest has 768 parameters; the next above 1,000 has two ranks.
    assert lightest == {1: 4 * 768, 1_000: 4 * 2 * 768, 100: 800, 10: 4 * 384}[at_least]
    assert Space({name: {}}, inventory, Budget(68_000, at_least, bytes=lightest)).names == (name,)
    assert all(one.count.adapter_bytes >= lightest for one in proposals(roomy, seed=0))
    with pytest.raises(RequestError, match=f"the lightest possible has {lightest:,} bytes"):
        Space({name: {}}, inventory, Budget(68_000, at_least, bytes=lightest - 1)).check()


def test_the_parameters_are_named_where_they_leave_nothing_whatever_the_bytes(inventory: Inventory) -> None:
    with pytest.raises(RequestError, match=r"^budget\.parameters = 700: .* smallest possible trains 768"):
        Space({"lora": {}}, inventory, Budget(700, 1, bytes=1)).check()


@pytest.mark.parametrize("layers", ["all", 1])
@pytest.mark.parametrize("name", [name for name in PLACED if name not in ANY_COUNT])
def test_the_smallest_of_a_narrowed_place_is_named_and_reached(
    name: str, layers: str | int, inventory: Inventory
) -> None:
    narrowed = {name: {"layers": layers}}
    with pytest.raises(RequestError, match=rf"the smallest possible trains [\d,]+ \({name}\)") as caught:
        Space(narrowed, inventory, Budget(1, 1)).check()
    smallest = int(str(caught.value).partition("possible trains ")[2].split()[0].replace(",", ""))
    assert Space(narrowed, inventory, Budget(smallest, 1)).names == (name,)
    with pytest.raises(RequestError, match=f"the smallest possible trains {smallest:,}"):
        Space(narrowed, inventory, Budget(smallest - 1, 1)).check()


def test_the_smallest_is_that_of_all_narrowed_knobs(inventory: Inventory) -> None:
    narrowed = {"surm-circulant": {"layers": "all", "targets": "vo", "placement": "adapter"}}
    # Two factors and a bias, behind the output of every attention.
    with pytest.raises(RequestError, match=f"the smallest possible trains {BLOCKS * 3 * WIDTH:,}"):
        Space(narrowed, inventory, Budget(700, 1)).check()


def test_the_fewest_bytes_are_those_of_the_one_size_that_the_budget_allows(inventory: Inventory) -> None:
    with pytest.raises(RequestError, match=r"^budget\.bytes = 1: .* the lightest possible has 3,072 bytes \(lora\)"):
        Space({"lora": {}}, inventory, Budget(768, 768, bytes=1)).check()
