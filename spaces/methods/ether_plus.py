"""ETHER+ (arXiv 2405.20271): weights transformed by relaxed Householder reflections in blocks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spaces.methods._reflections import ReflectionConfiguration, Reflections
from spaces.methods.base.knobs import Choice


class EtherPlusConfiguration(ReflectionConfiguration):
    """W H, H W or H W H′, with H and H′ block-diagonal of I − û ûᵀ + v̂ v̂ᵀ; v = −u at the start, where H = I."""

    side: Literal["both", "input", "output"] = Field(
        default="both", description="Features to transform: both, input or output."
    )


class EtherPlus(Reflections[EtherPlusConfiguration]):
    """Trains 2 (m + n) parameters for a weight of m × n, or 2n or 2m on one side."""

    name = "ether-plus"
    summary = "relaxed Householder reflections in blocks"
    configuration = EtherPlusConfiguration
    vectors = 2
    knobs = {"side": Choice(("both", "input", "output")), "blocks": Choice((1, 4, 16))}  # noqa: RUF012


METHODS = (EtherPlus(),)
