"""Early stopping within a training: it ends once its evaluations stop getting better."""

from __future__ import annotations


class Patience:
    """Counts evaluations in a row without a better quality, as transformers' `EarlyStoppingCallback` does.

    Args:
        limit: the number of such evaluations that ends a training; None for a training that never ends early.
    """

    def __init__(self, limit: int | None) -> None:
        self.waited = 0
        self._limit = limit

    def evaluated(self, *, better: bool) -> None:
        """Take the next evaluation; `better`: strictly better than all before it."""
        self.waited = 0 if better else self.waited + 1

    @property
    def is_over(self) -> bool:
        """Whether the training is to end."""
        return self._limit is not None and self.waited >= self._limit
