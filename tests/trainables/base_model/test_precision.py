"""The precision of a spec on a device, and the type in which the base is held."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from transformers import BertConfig

from spaces.errors import RequestError
from spaces.spec.sections import Precision, Task
from trainables.base_model.precision import Resolved, held_dtype, resolved
from trainables.base_model.weights import BaseWeights

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def weights_in(*types: str) -> BaseWeights:
    named: Mapping[str, str] = {str(number): one for number, one in enumerate((*types, "int64"))}
    return BaseWeights(BertConfig(), Task.CAUSAL_LM, {}, named, (), ())


@pytest.mark.parametrize(
    ("precision", "types", "held"),
    [
        ("float32", ("bfloat16",), torch.float32),
        ("bf16-mixed", ("float32",), None),
        ("bf16-mixed", ("bfloat16", "float32"), None),
        ("bf16-mixed", ("float16",), torch.float32),
        ("bf16", ("float32",), torch.bfloat16),
        ("bf16", ("float16",), torch.bfloat16),
    ],
)
def test_the_base_is_held_in(precision: Resolved, types: tuple[str, ...], held: torch.dtype | None) -> None:
    assert held_dtype(precision, weights_in(*types)) == held


@pytest.mark.parametrize("capable", [True, False])
def test_auto_follows_the_device(capable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return capable or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    assert resolved("auto", GPU) == ("bf16-mixed" if capable else "float32")
    assert resolved("float32", GPU) == "float32"
    assert not any(asked)
    wanted: tuple[Precision, ...] = ("bf16", "bf16-mixed")
    for one in wanted:
        if capable:
            assert resolved(one, GPU) == one
        else:
            with pytest.raises(RequestError, match=f"training.precision = {one}: Tesla T4 cannot .*; allowed: auto"):
                resolved(one, GPU)


def test_a_cpu_computes_as_it_is_told() -> None:
    assert [resolved(one, CPU) for one in ("auto", "float32", "bf16", "bf16-mixed")] == [
        "float32",
        "float32",
        "bf16",
        "bf16-mixed",
    ]
