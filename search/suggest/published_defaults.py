"""The published defaults of each method, with which a search begins."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from search.suggest.study_trials import PUBLISHED
from spaces.space.search_space import Space

OWN, THIN = "at its own size", "at a size that the front lacks"


class PublishedDefaults:
    """The defaults that are still to be tried, taken in turns: at their published sizes, and at sizes the front lacks.

    Most published sizes are near the budget. A method takes its turn even when it cannot have the wanted size or its
    default of that size was tried. So the turns that an earlier driver took follow from the trials of its study.

    Args:
        space: The search space, which knows the defaults.
        taken: The trials of the study so far.
        seed: Of the order of methods at sizes that the front lacks.
        elsewhere: Sizes are chosen in this search, so each method gets a second turn at one that the front lacks.
    """

    def __init__(self, space: Space, taken: Sequence[FrozenTrial], seed: int, *, elsewhere: bool) -> None:
        counts = Counter(trial.user_attrs.get(PUBLISHED) for trial in taken)
        self._space = space
        self._own = deque(islice(space.published(), counts[OWN], None))
        # In another order than the published ones, or a method's two turns would come in a row.
        names = [str(name) for name in np.random.default_rng(seed).permutation(space.names)] if elsewhere else []
        self._thin = deque(names[counts[THIN] :])

    def turn(self, planned: int) -> str | None:
        """Return the turn after `planned` trials: `OWN`, `THIN`, or None when no default is left for it."""
        if self._own and planned % 2 == 0:
            return OWN
        return THIN if self._thin else None

    def own(self) -> dict[str, Any]:
        """Return the knobs of the next default at its published size."""
        return self._own.popleft()

    def at(self, share: float) -> dict[str, Any] | None:
        """Return the knobs of the next default fitted to a share of the budget; None if it cannot be so large."""
        return self._space.published_at(self._thin.popleft(), share)
