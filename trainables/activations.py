"""Activations of a split's examples, computed once an example."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor

from trainables.data.batches import Indices


class KeptActivations:
    """Activations of examples, computed group by group when an example of the group is first asked for.

    So their values do not depend on what was asked for before. They lie end to end in the host's memory, unpadded.
    """

    def __init__(
        self, lengths: Indices, groups: Sequence[Indices], position: Tensor, compute: Callable[[Indices], Tensor]
    ) -> None:
        """Nothing is computed yet.

        Args:
            lengths: positions of each example of the split, shape (examples,).
            groups: indices of the examples that may be asked for, each in one group.
            position: what one position holds, for its shape and type.
            compute: the activations of examples, shape (batch, longest of the batch, …).
        """
        order = np.concatenate(groups)
        self._lengths, self._groups, self._compute = lengths, groups, compute
        self._starts, self._group = np.zeros_like(lengths), np.zeros_like(lengths)
        self._starts[order] = np.cumsum(lengths[order]) - lengths[order]
        self._group[order] = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        self._missing = np.ones(len(groups), dtype=bool)
        self._values = torch.empty((int(lengths[order].sum()), *position.shape), dtype=position.dtype)

    @property
    def bytes(self) -> int:
        """Bytes of the activations of all groups."""
        return self._values.nbytes

    @property
    def computed_bytes(self) -> int:
        """Bytes of those that were computed; memory for the others is set aside but not in use."""
        computed = [rows for rows, missing in zip(self._groups, self._missing, strict=True) if not missing]
        return sum(int(self._lengths[rows].sum()) for rows in computed) * self._values[:1].nbytes

    def take(self, rows: Indices) -> Tensor:
        """Activations of the examples at `rows`, shape (batch, longest of the batch, …), 0 where one has ended."""
        groups = np.unique(self._group[rows])
        for number in groups[self._missing[groups]]:
            self._fill(self._groups[number])
            self._missing[number] = False
        inside, places = self._places(rows)
        taken = self._values.new_zeros((*inside.shape, *self._values.shape[1:]))
        taken[inside] = self._values[places]
        return taken

    def _fill(self, rows: Indices) -> None:
        try:
            values = self._compute(rows)
        except RuntimeError as error:
            if len(rows) == 1 or not should_reduce_batch_size(error):
                raise
            clear_device_cache()
            self._fill(rows[: len(rows) // 2])
            self._fill(rows[len(rows) // 2 :])
        else:
            inside, places = self._places(rows)
            self._values[places] = values.cpu()[inside]

    def _places(self, rows: Indices) -> tuple[Tensor, Tensor]:
        """Which positions of a batch there are, (batch, longest), and where these lie, one after another."""
        lengths = self._lengths[rows][:, None]
        positions = np.arange(lengths.max())
        inside = positions < lengths
        return torch.from_numpy(inside), torch.from_numpy((self._starts[rows][:, None] + positions)[inside])
