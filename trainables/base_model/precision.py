"""The types in which a training holds the frozen base and computes. What trains is float32 in all of them."""

from __future__ import annotations

from typing import Literal

import torch

from spaces.errors import RequestError
from spaces.spec.sections import Precision
from trainables.base_model.weights import BaseWeights

Resolved = Literal["float32", "bf16", "bf16-mixed"]


def resolved(precision: Precision, device: torch.device) -> Resolved:
    """Return the precision of trainings on a device.

    `auto` is float32 on a CPU. On a GPU with bfloat16 it is bf16-mixed, which holds bfloat16 checkpoints, as all large
    ones are, in their own type, and rounds no others.

    Raises:
        RequestError: when the device has no bfloat16 of its own; emulation would be slower than float32.
    """
    capable = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        return "bf16-mixed" if device.type == "cuda" and capable else "float32"
    if precision != "float32" and not capable:
        raise RequestError(
            f"training.precision = {precision}: {torch.cuda.get_device_name(device)} cannot compute in bfloat16; "
            "allowed: auto, float32"
        )
    return precision


def held_dtype(precision: Resolved, weights: BaseWeights) -> torch.dtype | None:
    """Return the type in which trainings hold the base; None leaves it in its own.

    With bf16-mixed it is the base's own, if autocast can mix it with bfloat16, else float32.
    """
    if precision == "bf16":
        return torch.bfloat16
    own = {name for name in weights.types.values() if getattr(torch, name).is_floating_point}
    mixes = precision == "bf16-mixed" and own <= {"float32", "bfloat16"}
    return None if mixes else torch.float32
