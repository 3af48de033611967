"""RandLoRA's ranks where weights have several sides."""

from __future__ import annotations

import pytest

from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration, method
from spaces.model.inventory import Inventory, LinearLayer


def test_every_fitted_rank_can_be_counted_though_a_larger_one_may_train_more() -> None:
    """Of sides 20, 7, 6 and 1, ranks 10 and 20 train 104 and 114: the smallest adapter has not the largest rank."""
    layers = tuple(LinearLayer(f"{at}.query", "query", at, side, side) for at, side in enumerate((20, 1, 7, 6)))
    inventory = Inventory("bert", layers, sum(layer.size for layer in layers), 2, ("classifier",))
    known, start = method("randlora"), configuration("randlora", {"targets": "all", "layers": "all", "rank": 1})
    fitted = [known.fit(start, inventory, allowance) for allowance in (104, 114)]
    assert [(one.rank, known.count(one, inventory).trainable_parameters) for one in fitted] == [(10, 104), (20, 114)]
    with pytest.raises(Unfit, match="rank = 21: more than the targets take; allowed: at most 20"):
        known.count(configuration("randlora", {"targets": "all", "layers": "all", "rank": 21}), inventory)
