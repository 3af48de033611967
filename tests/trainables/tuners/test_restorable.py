"""A replaced parameter of the base comes back to the bit, and is never written."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainables.tuners.restorable import RestorableModule


class Module(RestorableModule):
    adapter_layer_names = ()
    other_param_names = ()


@pytest.fixture
def base() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2).requires_grad_(False)


def test_it_is_replaced_and_restored(base: nn.Linear) -> None:
    weight, values = base.weight, base.weight.clone()
    module = Module(base, "default")
    for number in (1.0, 2.0):
        module.replace("weight", torch.full((2, 3), number))
        assert torch.equal(base.weight, torch.full((2, 3), number))
        assert module.pretrained("weight") is weight
    module.unmerge()
    assert base.weight is weight
    assert torch.equal(weight, values)


def test_the_new_value_is_rounded_to_the_type_of_the_old(base: nn.Linear) -> None:
    module = Module(base.bfloat16(), "default")
    module.replace("bias", torch.tensor([1 + 2**-12, 2.0]))
    assert base.bias.dtype == torch.bfloat16
    assert base.bias.tolist() == [1.0, 2.0]


def test_what_is_kept_is_no_part_of_the_state_but_is_cast_with_it(base: nn.Linear) -> None:
    module = Module(base, "default")
    module.replace("weight", torch.zeros(2, 3))
    assert set(module.state_dict()) == {"base_layer.weight", "base_layer.bias"}
    module.double()
    assert module.pretrained("weight").dtype == torch.float64
    copied = copy.deepcopy(module)
    copied.unmerge()
    assert not torch.equal(copied.base_layer.weight, base.weight)
