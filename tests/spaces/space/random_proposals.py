"""Random proposals of a space."""

from __future__ import annotations

import contextlib

import numpy as np

from spaces.space.proposal import Proposal, Rejected
from spaces.space.search_space import Space
from tests.spaces.random_suggester import RandomSuggester


def proposals(space: Space, seed: int, draws: int = 60) -> list[Proposal]:
    generator, found = np.random.default_rng(seed), []
    for _ in range(draws):
        with contextlib.suppress(Rejected):
            found.append(space.propose(RandomSuggester(generator)))
    return found
