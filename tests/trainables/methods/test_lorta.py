"""LoRTA's update is the sum over its terms, and what layers share stays one parameter through everything."""

from __future__ import annotations

import pytest
import torch

from spaces.methods.registry import configuration
from tests.trainables.lorta_models import FACTORS, held, layers
from tests.trainables.short_trainings import attached, close
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.adapters.attach import attach


@pytest.mark.parametrize("tiny", [BERT, GPT2], ids=lambda tiny: tiny.family)
def test_the_update_is_the_sum_over_terms(tiny: Tiny) -> None:
    chosen = configuration("lorta", {"targets": "all", "rank": 3, "heads": 2, "scaling": 0.5})
    model = attach(tiny.model(), "lorta", chosen, tiny.inventory, seed=1)
    with torch.no_grad():
        for parameters in held(model):
            for parameter in parameters:
                parameter.normal_()
    for layer in layers(model).values():
        a, b, heads, kind, block = (getattr(layer, name)["default"].detach() for name in FACTORS)
        width = layer.in_features // 2
        expected = torch.zeros(layer.out_features, layer.in_features)
        for term in range(3):
            for head in range(2):
                weight = 0.5 * heads[head, term] * kind[term] * block[term]
                expected[:, head * width : (head + 1) * width] += weight * torch.outer(a[:, term], b[term])
        delta = layer.get_delta_weight("default")
        close(delta.T if layer.transposed else delta, expected, 1e-4)
        x = torch.randn(2, 3, layer.in_features)
        close((layer(x) - layer.base_layer(x)).detach(), x @ expected.T, 1e-3)


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="heads = 3: does not divide 16 input features"):
        attached(BERT, "lorta", configuration("lorta", {"heads": 3}))
