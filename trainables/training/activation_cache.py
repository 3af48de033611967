"""The activations below the lowest adapted block, which an actor keeps from training to training in bounded memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from transformers import PreTrainedModel

from spaces.model.inventory import Inventory
from trainables.adapters.verification import TOLERANCE
from trainables.base_model.weights import copy_of
from trainables.data.batches import Indices
from trainables.data.causal_lm.packing import PackedTokens
from trainables.data.encoded_split import EncodedSplit
from trainables.training.frozen_blocks import Tower, draws_nothing, frozen_blocks, given_output, output_of, tower
from trainables.training.smaller_batches import smaller_batches

MASK = "attention_mask"


class KeptActivations:
    """Activations of examples, computed group by group when an example of the group is first asked for.

    So their values do not depend on earlier requests. They lie end to end in the host's memory, unpadded.
    """

    def __init__(
        self, lengths: Indices, groups: Sequence[Indices], position: Tensor, compute: Callable[[Indices], Tensor]
    ) -> None:
        """Reserve memory, and compute nothing yet.

        Args:
            lengths: positions of each example of the split, shape (examples,).
            groups: indices of the examples that may be asked for, each in one group.
            position: the activation of one position, for its shape and type.
            compute: computes the activations of examples, shape (batch, longest of the batch, …).
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
        """Bytes of the computed activations; memory for the others is reserved but not in use."""
        computed = [rows for rows, missing in zip(self._groups, self._missing, strict=True) if not missing]
        return sum(int(self._lengths[rows].sum()) for rows in computed) * self._values[:1].nbytes

    def take(self, rows: Indices) -> Tensor:
        """Return the activations of the examples at `rows`, with zeros after an example's end.

        Returns:
            Shape (batch, longest of the batch, …).
        """
        groups = np.unique(self._group[rows])
        for number in groups[self._missing[groups]]:
            self._fill(self._groups[number])
            self._missing[number] = False
        inside, places = self._places(rows)
        taken = self._values.new_zeros((*inside.shape, *self._values.shape[1:]))
        taken[inside] = self._values[places]
        return taken

    def _fill(self, rows: Indices) -> None:
        def compute(size: int) -> None:
            for start in range(0, len(rows), size):
                part = rows[start : start + size]
                inside, places = self._places(part)
                self._values[places] = self._compute(part).cpu()[inside]

        smaller_batches(compute, len(rows))

    def _places(self, rows: Indices) -> tuple[Tensor, Tensor]:
        """Return a mask of the positions in a batch, (batch, longest), and their places in memory, in order."""
        lengths = self._lengths[rows][:, None]
        positions = np.arange(lengths.max())
        inside = positions < lengths
        return torch.from_numpy(inside), torch.from_numpy((self._starts[rows][:, None] + positions)[inside])


class _Key(NamedTuple):
    depth: int
    split: int
    seed: int | None
    groups: int | None  # a checksum: trainings with batches of other sizes group the examples otherwise


def _checksum(groups: Sequence[Indices]) -> int:
    lengths = np.array([len(group) for group in groups])
    return zlib.crc32(np.concatenate(groups).tobytes(), zlib.crc32(lengths.tobytes()))


@dataclass(frozen=True)
class _Finding:
    """The facts about the blocks up to one depth.

    Attributes:
        training: whether nothing is random up to there in training mode.
        position: the block's output for one position.
        positions: the positions of every example; None: one for each token.
    """

    training: bool
    position: Tensor
    positions: int | None


class ActivationCache:
    """Activations for trainings of models made from one base, in at most `limit` bytes of the host's memory."""

    def __init__(
        self, base: PreTrainedModel, inventory: Inventory, accelerator: Accelerator, sample: EncodedSplit, limit: int
    ) -> None:
        """Start with an empty cache.

        Args:
            base: the model that all trainings adapt; it is not changed.
            inventory: its layers.
            accelerator: the one that trainings run under.
            sample: examples, a few of which are tried at each depth.
            limit: bytes.
        """
        self._base = copy_of(base)
        self._inventory = inventory
        self._accelerator = accelerator
        self._limit = limit
        by_length = np.argsort(sample.lengths(), kind="stable")
        self._sample, self._rows = sample, np.unique(by_length[[0, len(by_length) // 2, -1]])
        self._findings: dict[int, _Finding | None] = {}
        self._kept: dict[_Key, KeptActivations] = {}

    @cached_property
    def _tower(self) -> Tower:
        with torch.no_grad(), self._accelerator.autocast():
            return tower(self._base, self._inventory, self._inputs(self._sample, self._rows))

    @property
    def bytes(self) -> int:
        """Bytes reserved."""
        return sum(kept.bytes for kept in self._kept.values())

    @property
    def computed_bytes(self) -> int:
        """Bytes in use."""
        return sum(kept.computed_bytes for kept in self._kept.values())

    def frozen_blocks(self, model: nn.Module, seed: int) -> FrozenBlocks:
        """Return the lowest blocks of `model`, an adapted copy of the base that is trained with `seed`."""
        return FrozenBlocks(self, model, frozen_blocks(model, self._base, self._tower), seed)

    def get(
        self, split: EncodedSplit, groups: Sequence[Indices], blocks: Sequence[str], seed: int, *, training: bool
    ) -> KeptActivations | None:
        """Return the outputs of `blocks` for the examples in `groups`.

        Entries of other depths, other seeds and other batch sizes make room, the oldest first.

        Returns:
            None when they cannot replace the blocks, or do not fit.
        """
        if isinstance(split, PackedTokens):
            return None  # its rows have no mask, by which positions of padding are told
        found = self._find(blocks)
        if found is None or (training and not found.training):
            return None
        key = _Key(len(blocks), id(split), *((seed, _checksum(groups)) if training else (None, None)))
        if key not in self._kept:
            lengths = split.lengths() if found.positions is None else np.full(len(split), found.positions)
            size = int(sum(lengths[group].sum() for group in groups)) * found.position.nbytes
            in_use = [
                one
                for one in self._kept
                if one.depth == key.depth and (one.seed, one.groups) in ((None, None), (seed, key.groups or one.groups))
            ]
            if sum(self._kept[one].bytes for one in in_use) + size > self._limit:
                return None
            for one in [one for one in self._kept if one not in in_use]:
                if self.bytes + size > self._limit:
                    del self._kept[one]
            self._kept[key] = KeptActivations(
                lengths, groups, found.position, lambda rows: self._compute(split, blocks, rows)
            )
        return self._kept[key]

    def _find(self, blocks: Sequence[str]) -> _Finding | None:
        """Try the blocks, once for each depth."""
        depth = len(blocks)
        if depth not in self._findings:
            try:
                self._findings[depth] = self._try(blocks) if blocks else None
            except Exception:  # a model was not written for this and may fail in any way
                self._findings[depth] = None
        return self._findings[depth]

    @torch.no_grad()
    def _try(self, blocks: Sequence[str]) -> _Finding | None:
        """Check that outputs of examples computed alone can replace the blocks in a padded batch: the logits must
        agree.
        """
        inputs = self._inputs(self._sample, self._rows)
        with self._accelerator.autocast():
            output = output_of(self._base, blocks[-1], inputs)
            quiet = draws_nothing(self._base, blocks[-1], inputs)
            expected = self._base(**inputs).logits.float()
        masked = MASK in inputs
        if masked and output.shape[:2] != inputs[MASK].shape:
            return None
        lengths = self._sample.lengths() if masked else np.full(len(self._sample), output.shape[1])
        alone = np.split(self._rows, len(self._rows))
        kept = KeptActivations(
            lengths, alone, output[0, 0].cpu(), lambda rows: self._compute(self._sample, blocks, rows)
        )
        with self.given(self._base, blocks, kept, self._rows), self._accelerator.autocast():
            found = self._base(**inputs).logits.float()
        if masked and expected.dim() == 3:  # logits of tokens; those of padding have no meaning
            expected, found = expected[inputs[MASK].bool()], found[inputs[MASK].bool()]
        lowered = self._accelerator.mixed_precision == "bf16"
        allowed = TOLERANCE[torch.bfloat16 if lowered else self._base.dtype] * max(1.0, float(expected.abs().max()))
        if not float((found - expected).abs().max()) <= allowed:
            return None
        return _Finding(quiet, output[0, 0].cpu(), None if masked else output.shape[1])

    @torch.no_grad()
    def _compute(self, split: EncodedSplit, blocks: Sequence[str], rows: Indices) -> Tensor:
        with self._accelerator.autocast():
            return output_of(self._base, blocks[-1], self._inputs(split, rows))

    def given(
        self, model: nn.Module, blocks: Sequence[str], kept: KeptActivations, rows: Indices
    ) -> AbstractContextManager[None]:
        """Within the context, `blocks` return the cached output of the examples at `rows`."""
        return given_output(model, blocks, kept.take(rows).to(self._accelerator.device, non_blocking=True))

    def _inputs(self, split: EncodedSplit, rows: Indices) -> dict[str, Tensor]:
        device = self._accelerator.device
        return {name: tensor.to(device) for name, tensor in split.take(rows).items() if name != "labels"}


@dataclass(frozen=True)
class FrozenBlocks:
    """The lowest `blocks` of a model in training, which compute the same as the base's."""

    cache: ActivationCache
    model: nn.Module
    blocks: tuple[str, ...]
    seed: int

    def substitution(
        self, split: EncodedSplit, groups: Sequence[Indices], *, training: bool
    ) -> Callable[[Indices], AbstractContextManager[None]] | None:
        """Return a function that replaces the blocks by cached output for some examples of `groups`; None if
        impossible.
        """
        kept = self.cache.get(split, groups, self.blocks, self.seed, training=training)
        return None if kept is None else lambda rows: self.cache.given(self.model, self.blocks, kept, rows)
