"""ETHER (arXiv 2405.20271): weights turned by Householder reflections in blocks."""

from __future__ import annotations

from pydantic import Field

from spaces.methods._reflections import ReflectionConfiguration, Reflections, Side
from spaces.methods.base.knobs import Choice


class EtherConfiguration(ReflectionConfiguration):
    """W H or H W, with H block-diagonal of I − 2 û ûᵀ. H is never near I: training starts away from the base.

    The published code reflects the input by default.
    """

    side: Side = Field(default="input", description="Features to reflect: input (W H) or output (H W).")


class Ether(Reflections[EtherConfiguration]):
    """Trains n parameters for a weight of m × n, or m on the output side."""

    name = "ether"
    summary = "Householder reflections in blocks"
    configuration = EtherConfiguration
    vectors = 1
    knobs = {"side": Choice(("input", "output")), "blocks": Choice((1, 4, 16))}  # noqa: RUF012


METHODS = (Ether(),)
