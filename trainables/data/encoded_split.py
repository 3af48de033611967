"""Encoded splits: frozen sets of NumPy arrays, which Ray's object store shares without copying them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.integer[Any]]
Batch = dict[str, torch.Tensor]

IGNORED_LABEL = -100
"""Marks tokens that are not to be learnt; the value that torch's and transformers' losses ignore."""


def end_to_end(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int32]:
    """All tokens of the rows in one array."""
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32)


def offsets_of(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    """Where each row starts when they are laid end to end, and where the last one ends; shape (rows + 1,)."""
    return np.cumsum([0, *map(len, rows)], dtype=np.int64)


@dataclass(frozen=True)
class Cut:
    """How many examples had more tokens than `data.max_length` and lost some, and how long the longest was.

    `responses`: how many of them lost the end of their response, from which a model would learn to stop.
    """

    rows: int = 0
    responses: int = 0
    longest: int = 0


@dataclass(frozen=True)
class EncodedSplit(ABC):
    """Examples ready for a model. The arrays may be read-only and shared, so batches never alias them.

    `targets`: int64 classes or numbers, in float32 unless that would blur them, shape (examples,); None where the
    inputs bring `labels` of their own. `notes`: what is worth saying of how the examples were read.
    """

    targets: Array | None
    cut: Cut = field(default=Cut(), kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def lengths(self) -> npt.NDArray[np.int64]:
        """What each example costs beside the others of its batch, shape (examples,): tokens, or 1 for an image."""

    @abstractmethod
    def inputs(self, indices: Indices) -> Batch:
        """What the model reads of the examples at `indices`."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Every array by name."""

    def take(self, indices: Indices) -> Batch:
        """A batch on the CPU, as the keyword arguments of a transformers model, `labels` among them."""
        labels = {} if self.targets is None else {"labels": torch.from_numpy(self.targets[indices])}
        return {**self.inputs(indices), **labels}


@dataclass(frozen=True)
class EncodedTokens(EncodedSplit):
    """Token sequences of different lengths, laid end to end.

    `columns`: int32 arrays of shape (tokens of all examples,), such as `input_ids`; example i holds the tokens from
    `offsets[i]` to `offsets[i + 1]`. `padding`: what fills the right of a shorter example, by column. Token `labels`
    are a column like the others.
    """

    columns: Mapping[str, npt.NDArray[np.int32]]
    offsets: npt.NDArray[np.int64]
    padding: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def pad_token_id(self) -> int:
        """What `input_ids` are padded with; decoders that classify need it in their config."""
        return self.padding["input_ids"]

    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.offsets)

    def inputs(self, indices: Indices) -> Batch:
        """int64 tensors of shape (batch, longest of the batch): the columns and `attention_mask`."""
        starts = self.offsets[indices]
        lengths = self.offsets[indices + 1] - starts
        positions = np.arange(lengths.max())
        inside = positions < lengths[:, None]
        places = np.where(inside, starts[:, None] + positions, 0)
        batch = {
            name: torch.from_numpy(np.where(inside, tokens[places], self.padding[name]).astype(np.int64))
            for name, tokens in self.columns.items()
        }
        return {**batch, "attention_mask": torch.from_numpy(inside.astype(np.int64))}

    def arrays(self) -> dict[str, Array]:
        targets = {} if self.targets is None else {"targets": self.targets}
        return {**self.columns, "offsets": self.offsets, **targets}


@dataclass(frozen=True)
class EncodedImages(EncodedSplit):
    """Images of one size: `pixels` of shape (examples, channels, height, width).

    A model sees `pixels * scale + shift`, both of shape (channels, 1, 1) and float32: so `pixels` can stay uint8, a
    quarter of the memory, when the image processor's last steps are a rescaling and a normalisation.
    """

    pixels: Array
    scale: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)

    def lengths(self) -> npt.NDArray[np.int64]:
        return np.ones(len(self), dtype=np.int64)

    def inputs(self, indices: Indices) -> Batch:
        """`pixel_values` of shape (batch, channels, height, width), float32."""
        values = self.pixels[indices].astype(np.float32) * self.scale + self.shift
        return {"pixel_values": torch.from_numpy(values)}

    def arrays(self) -> dict[str, Array]:
        targets = {} if self.targets is None else {"targets": self.targets}
        return {"pixels": self.pixels, "scale": self.scale, "shift": self.shift, **targets}


def fingerprint(split: EncodedSplit) -> str:
    """SHA-256 of every array with its name, type and shape: equal for equal examples in the same order."""
    digest = hashlib.sha256()
    for name, array in sorted(split.arrays().items()):
        digest.update(f"{name}:{array.dtype}:{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
