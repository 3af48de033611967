"""What takes part in the measurement of a step, as data: methods, their settings, and what is asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FROZEN = "frozen limit"
"""Forward, and backward of the activations alone: what no adapter within the blocks can do without."""

LORA = "lora r8 all"


@dataclass(frozen=True)
class Goal:
    """A step is to take at most `ratio` times that of the competitor called `to`."""

    ratio: float
    to: str = FROZEN


@dataclass(frozen=True)
class Competitor:
    """A method with its settings; with `like` in the largest size that trains no more than that competitor does."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    goal: Goal | None = None
    like: str | None = None


_QKV = {"targets": "qkv"}
_ALL = {"targets": "all"}
_BETWEEN = _ALL | {"reselection_interval": 1_000_000}  # the first step reselects, a warm-up of the measurement

NARROW: Mapping[str, Competitor] = {
    "full": Competitor("full"),
    LORA: Competitor("lora", _ALL | {"rank": 8}),
    "lora r1 qkv": Competitor("lora", _QKV | {"rank": 1}),
    "shira r8 all (PEFT)": Competitor("shira", _ALL | {"rank": 8}),
    "c3a qkv (PEFT)": Competitor("c3a", _QKV),
    "sparta 0.1 % all": Competitor("sparta", _ALL | {"density": 0.001}, Goal(1.10)),
    "sparta 1 % all": Competitor("sparta", _ALL | {"density": 0.01}, Goal(1.25)),
    "dst 0.1 % all, between": Competitor("dst", _BETWEEN | {"density": 0.001}, Goal(1.10)),
    "dst 1 % all, between": Competitor("dst", _BETWEEN | {"density": 0.01}, Goal(1.25)),
    "dst 1 % all, each step": Competitor("dst", _ALL | {"density": 0.01, "reselection_interval": 1}),
    "circulant qkv": Competitor("surm-circulant", _QKV, Goal(1.08)),
    "toeplitz qkv": Competitor("surm-toeplitz", _QKV, Goal(1.20)),
    "ldr r2 qkv": Competitor("surm-ldr", _QKV | {"displacement_rank": 2}, Goal(1.25)),
    "kronecker qkv": Competitor("surm-kronecker", _QKV, Goal(1.15)),
}

_FASTER = Goal(1.0, LORA)
WIDE: Mapping[str, Competitor] = {
    LORA: Competitor("lora", _ALL | {"rank": 8}),
    "sparta": Competitor("sparta", _ALL, _FASTER, like=LORA),
    "dst, between": Competitor("dst", _BETWEEN, _FASTER, like=LORA),
    "circulant blocks": Competitor("surm-circulant", _ALL, _FASTER, like=LORA),
    "lora r1 all": Competitor("lora", _ALL | {"rank": 1}),
    "circulant whole": Competitor("surm-circulant", _ALL, Goal(1.0, "lora r1 all"), like="lora r1 all"),
}
