"""Every method on bases in every precision: a covering array over the families of models."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Literal, get_args

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from spaces.errors import RequestError
from spaces.methods.registry import method, methods
from spaces.spec.sections import Quantization
from tests.trainables.cases import fits
from tests.trainables.quantised_models import LLAMA, WIDE, Wide, digest, quantised
from tests.trainables.shipped import parameter_groups
from tests.trainables.short_trainings import close, loss, train, usual
from tests.trainables.tiny_models import Tiny
from trainables.adapters.attach import attach, merged
from trainables.adapters.verification import computing
from trainables.base_model.quantization import dequantise
from trainables.methods.registry import adapters, check_quantised
from trainables.tuners.float32_modules import keep_type

pytestmark = pytest.mark.slow

Held = Literal["float32", "bf16", "nf4", "int8"]
QUANTISED = get_args(Quantization)
ADDITIVE = (
    *("lora", "adalora", "melora", "lorta", "lora-xs", "vera", "randlora", "loha", "lokr", "miss", "c3a"),
    *("fourierft", "waveft", "shira", "sparta", "dst"),
    *("surm-circulant", "surm-toeplitz", "surm-kronecker", "surm-ldr"),
)
"""The methods whose update is added to the weight, or to its product."""


def cells() -> Iterator[tuple[str, Held, Tiny]]:
    """Every method with every precision, each on another family of models than the one before."""
    order = cycle(WIDE)
    for name in methods():
        for held in get_args(Held):
            for _ in WIDE:
                tiny = next(order)
                if fits(tiny, name, usual(name)):
                    yield name, held, tiny
                    break


CELLS = [pytest.param(*cell, id="-".join(map(str, cell))) for cell in cells()]


def base(tiny: Tiny, held: Held) -> PreTrainedModel:
    if held == "nf4" or held == "int8":
        return quantised(tiny, held)
    return Wide(tiny.family, tiny.task, torch.bfloat16 if held == "bf16" else torch.float32).model()


def logits(tiny: Tiny, model: nn.Module) -> Tensor:
    with computing(model, tiny.dtype):
        return tiny.logits(model).float()


@pytest.mark.parametrize(("name", "held", "tiny"), CELLS)
def test_it_counts_trains_and_loads(name: str, held: Held, tiny: Tiny, tmp_path: Path) -> None:
    chosen, quantization = usual(name), held if held in QUANTISED else None
    if quantization is not None and adapters()[name].refusal(quantization, tiny.inventory):
        with pytest.raises(RequestError, match=rf"methods.{name}: cannot adapt a base in {held}: .*; allowed: other"):
            check_quantised(quantization, [name], tiny.inventory)
        assert not works(name, quantization, tiny)
        return
    # Every second quantised base has the rest in bfloat16.
    half = held == "bf16" or (quantization is not None and list(methods()).index(name) % 2 == 0)
    tiny = Wide(tiny.family, tiny.task, torch.bfloat16 if half else torch.float32)
    before = digest(tiny, quantization) if quantization else tiny.fingerprint()
    model = attach(base(tiny, held), name, chosen, tiny.inventory, seed=1)
    adapter, head = parameter_groups(model, tiny.inventory)
    count = method(name).count(chosen, tiny.inventory)
    assert sum(one.numel() for one in adapter) == count.trainable_parameters
    assert {one.dtype for one in (*adapter, *head)} == {torch.float32}
    start = logits(tiny, model)
    with computing(model, tiny.dtype):
        train(tiny, model, name, chosen)
    trained = logits(tiny, model)
    assert not torch.equal(trained, start)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(base(tiny, held), tmp_path)
    keep_type(loaded, tiny.dtype)
    close(logits(tiny, loaded), trained, 0.05 if half else 1e-6)
    if quantization:
        plain = PeftModel.from_pretrained(dequantise(base(tiny, held)), tmp_path)
        # Products in 8 bits round their inputs too.
        close(logits(Wide(tiny.family, tiny.task), plain), trained, 0.05 if half or held == "int8" else 1e-4)
    assert (digest(tiny, quantization) if quantization else tiny.fingerprint()) == before


def works(name: str, quantization: Quantization, tiny: Tiny) -> bool:
    """Whether a method that is refused would compute, before training, what the base does."""
    plain = quantised(tiny, quantization)
    try:
        model = attach(quantised(tiny, quantization), name, usual(name), tiny.inventory, seed=1)
        loss(tiny, model.train()).backward()
        return torch.allclose(tiny.logits(model), tiny.logits(plain), atol=0.05)
    except (RuntimeError, AttributeError):
        return False


def test_most_additive_methods_train_on_four_bits() -> None:
    trained = [name for name in ADDITIVE if adapters()[name].refusal("nf4", LLAMA.inventory) is None]
    assert len(trained) / len(ADDITIVE) >= 0.8


def test_a_quantised_weight_holds_no_merged_one() -> None:
    model = attach(quantised(LLAMA, "nf4"), "surm-circulant", usual("surm-circulant"), LLAMA.inventory, seed=1)
    with pytest.raises(ValueError, match=r"quantised weight would round .*; allowed: the adapter on the dequantised"):
        merged(model)
