"""The steps at which all trials are compared."""

from __future__ import annotations

REDUCTION_FACTOR = 3


def rung_steps(max_steps: int, rungs: int) -> tuple[int, ...]:
    """`rungs` steps, each three times the one before, ending at `max_steps`; fewer where steps would fall together."""
    steps = {max(1, round(max_steps / REDUCTION_FACTOR**power)) for power in range(rungs)}
    return tuple(sorted(steps))
