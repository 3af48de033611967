"""Attaching makes the adapter and the head train, as private copies, and nothing else."""

from __future__ import annotations

import pytest
import torch

from spaces.methods.registry import method, methods
from tests.trainables.cases import fits
from tests.trainables.shipped import adapter_bytes, parameter_groups
from tests.trainables.short_trainings import attached, home, loss
from tests.trainables.tiny_models import ALL, BERT, Tiny
from trainables.adapters.attach import attach, head_only
from trainables.base_model.inventory import inside, inventory_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", methods())
def test_exactly_the_adapter_and_the_head_train(name: str) -> None:
    for tiny in ALL:
        if not fits(tiny, name, method(name).configuration()):
            continue
        chosen = method(name).fit(method(name).configuration(), tiny.inventory, tiny.inventory.base_parameters)
        model = attach(tiny.model(), name, chosen, tiny.inventory, seed=1)
        adapter, head = parameter_groups(model, tiny.inventory)
        count = method(name).count(chosen, tiny.inventory)
        assert sum(parameter.numel() for parameter in adapter) == count.trainable_parameters
        assert {parameter.dtype for parameter in (*adapter, *head)} == {torch.float32}
        shared = {parameter.data_ptr() for parameter in tiny.model().parameters()}
        assert shared.isdisjoint(parameter.data_ptr() for parameter in (*adapter, *head))
        trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        assert trained == {id(parameter) for parameter in (*adapter, *head)}


@pytest.mark.parametrize("name", methods())
def test_on_a_bfloat16_base_what_trains_is_float32_and_moves(name: str) -> None:
    """Every entry with a gradient, at a rate of which bfloat16 would lose most steps."""
    tiny = home(name)
    half = Tiny(tiny.family, tiny.task, torch.bfloat16)
    model = attached(half, name).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(half, model)
    value.backward()
    before = [parameter.detach().clone() for parameter in trained]
    torch.optim.AdamW(trained, lr=1e-4, weight_decay=0).step()
    for parameter, old in zip(trained, before, strict=True):
        if parameter.grad is not None:
            assert (parameter.grad.abs() < 1e-9).logical_or(parameter.detach() != old).all()


@pytest.mark.parametrize("tiny", ALL, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
def test_the_reference_trains_a_private_head_alone(tiny: Tiny) -> None:
    inventory, before = tiny.inventory, tiny.fingerprint()
    expected = tiny.logits(tiny.model())
    model = head_only(tiny.model(), inventory)
    assert torch.equal(tiny.logits(model), expected)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if inside(name, inventory.head_modules)}
    adapter, head = parameter_groups(model, inventory)
    assert adapter == []
    assert sum(parameter.numel() for parameter in parameter_groups(model, inventory)[0]) == 0
    assert sum(parameter.numel() for parameter in head) == inventory.head_parameters
    with torch.no_grad():
        for parameter in head:
            parameter.add_(1)
    assert tiny.fingerprint() == before


def test_a_fresh_module_inside_the_base_trains_with_the_head() -> None:
    fresh = ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]
    for name in methods():
        if not fits(BERT, name, method(name).configuration()):
            continue
        inventory = inventory_of(BERT.model(), fresh)
        chosen = method(name).fit(method(name).configuration(), inventory, inventory.base_parameters)
        model = attach(BERT.model(), name, chosen, inventory, seed=1)
        adapter, head = parameter_groups(model, inventory)
        assert sum(parameter.numel() for parameter in head) == inventory.head_parameters
        count = method(name).count(chosen, inventory)
        assert sum(parameter.numel() for parameter in adapter) == count.trainable_parameters
        assert adapter_bytes(model, inventory) == count.adapter_bytes
