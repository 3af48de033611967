"""The precision of fast products: no FFT of half precision exists on every device."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """`tensor` in its own type, or in float32 where that is wider."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
