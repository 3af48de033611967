"""Encoded splits: frozen sets of NumPy arrays, which processes share through Ray's object store without copies."""

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

from trainables.prompted_rows import PromptedRows

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.integer[Any]]
Batch = dict[str, torch.Tensor]

IGNORED_LABEL = -100
"""The label of tokens that are not learnt, which the losses of torch and transformers ignore."""


def end_to_end(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int32]:
    """Return all tokens of the rows in one array."""
    return np.fromiter(chain.from_iterable(rows), dtype=np.int32)


def offsets_of(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.int64]:
    """Return the start of each row when they are laid end to end, and the end of the last; shape (rows + 1,)."""
    return np.cumsum([0, *map(len, rows)], dtype=np.int64)


@dataclass(frozen=True)
class Cut:
    """The examples that were cut to `data.max_length`.

    Attributes:
        rows: how many were cut.
        responses: how many of them lost the end of their response, from which a model would learn to stop.
        longest: the tokens of the longest example, uncut.
    """

    rows: int = 0
    responses: int = 0
    longest: int = 0


@dataclass(frozen=True)
class EncodedSplit(ABC):
    """Examples ready for a model.

    The arrays may be read-only and shared between processes, so batches never alias them.

    `targets`: int64 classes, or numbers in float32 unless that would blur them, shape (examples,); for several labels
    an example 0 or 1 for each, float32, shape (examples, labels); None if the inputs contain `labels` of their own.
    `notes`: remarks for the user on how the examples were read. `prompted`: the prompts of the same examples, if
    answers are written for them.
    """

    targets: Array | None
    cut: Cut = field(default=Cut(), kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    prompted: PromptedRows | None = field(default=None, kw_only=True)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows, each an example unless several are packed into one."""

    @property
    def examples(self) -> int:
        """The number of examples; fewer rows may hold them."""
        return len(self)

    @abstractmethod
    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the cost of each example within a batch, shape (examples,): its tokens, or 1 for an image."""

    def sequences(self) -> tuple[EncodedTokens, ...]:
        """Return the token sequences that it holds."""
        return ()

    @abstractmethod
    def inputs(self, indices: Indices) -> Batch:
        """Return the model's inputs for the examples at `indices`."""

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Return every array by name."""

    def take(self, indices: Indices) -> Batch:
        """Return a batch on the CPU, as keyword arguments of a transformers model, with `labels`."""
        labels = {} if self.targets is None else {"labels": torch.from_numpy(self.targets[indices])}
        return {**self.inputs(indices), **labels}


@dataclass(frozen=True)
class EncodedTokens(EncodedSplit):
    """Token sequences of different lengths, laid end to end.

    `columns`: int32 arrays of shape (tokens of all examples,), such as `input_ids`; example i holds the tokens from
    `offsets[i]` to `offsets[i + 1]`. `padding`: the value that fills the right of a shorter example, by column. Token
    `labels` are a column like the others.
    """

    columns: Mapping[str, npt.NDArray[np.int32]]
    offsets: npt.NDArray[np.int64]
    padding: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def pad_token_id(self) -> int:
        """The padding of `input_ids`; the config of a classifying decoder needs it."""
        return self.padding["input_ids"]

    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.offsets)

    def sequences(self) -> tuple[EncodedTokens, ...]:
        return (self,)

    def inputs(self, indices: Indices) -> Batch:
        """Return int64 tensors of shape (batch, longest of the batch): the columns and `attention_mask`."""
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

    A model receives `pixels * scale + shift`, both of shape (channels, 1, 1) and float32: so `pixels` can stay uint8, a
    quarter of the memory, if the image processor's last steps are a rescaling and a normalisation.
    """

    pixels: Array
    scale: npt.NDArray[np.float32]
    shift: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)

    def lengths(self) -> npt.NDArray[np.int64]:
        return np.ones(len(self), dtype=np.int64)

    def inputs(self, indices: Indices) -> Batch:
        """Return `pixel_values` of shape (batch, channels, height, width), float32."""
        values = self.pixels[indices].astype(np.float32) * self.scale + self.shift
        return {"pixel_values": torch.from_numpy(values)}

    def arrays(self) -> dict[str, Array]:
        targets = {} if self.targets is None else {"targets": self.targets}
        return {"pixels": self.pixels, "scale": self.scale, "shift": self.shift, **targets}


def fingerprint(split: EncodedSplit) -> str:
    """Return SHA-256 of every array with its name, type and shape, and of references: equal for equal rows."""
    digest = hashlib.sha256()
    for name, array in sorted(split.arrays().items()):
        digest.update(f"{name}:{array.dtype}:{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    if split.prompted is not None:
        digest.update(repr(split.prompted.references).encode(errors="surrogatepass"))
    return digest.hexdigest()
