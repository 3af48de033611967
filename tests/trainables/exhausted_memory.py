"""A model for which memory runs out."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def exhaust_above(limit: int) -> Any:
    """A hook in which memory runs out, for real, when more than `limit` examples come at once."""

    def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if len(named["input_ids"]) > limit:
            torch.empty(2**60, dtype=torch.uint8)

    return hook
