"""The published defaults with which a search begins, each method's twice."""

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


class Defaults:
    """What is left of them, in turns: as large as they were published, near the budget for most; and elsewhere.

    A method that cannot have a size, or whose default of that size was tried, has its turn all the same; so what a
    driver that was killed had taken follows from the trials of its study.

    `elsewhere`: whether sizes are chosen in this search at all.
    """

    def __init__(self, space: Space, taken: Sequence[FrozenTrial], seed: int, *, elsewhere: bool) -> None:
        counts = Counter(trial.user_attrs.get(PUBLISHED) for trial in taken)
        self._space = space
        self._own = deque(islice(space.published(), counts[OWN], None))
        # In another order than those, or else one method's two would come in a row.
        names = [str(name) for name in np.random.default_rng(seed).permutation(space.names)] if elsewhere else []
        self._thin = deque(names[counts[THIN] :])

    def turn(self, planned: int) -> str | None:
        """Whose turn it is after so many planned trials; None when it is nobody's."""
        if self._own and planned % 2 == 0:
            return OWN
        return THIN if self._thin else None

    def own(self) -> dict[str, Any]:
        """The knobs of the next default at its own size."""
        return self._own.popleft()

    def at(self, share: float) -> dict[str, Any] | None:
        """The knobs of the next default fitted to a share of the budget, if that method can have such a size."""
        return self._space.published_at(self._thin.popleft(), share)
