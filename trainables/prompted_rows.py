"""Prompts as tokens, with the texts that a model should write after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

Indices = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PromptedRows:
    """The prompts of a split, laid end to end, each with its reference.

    Attributes:
        tokens: int32, shape (tokens of all prompts,); row i holds those from `offsets[i]` to `offsets[i + 1]`.
        offsets: int64, shape (rows + 1,).
        references: the text of the data for each row, uncut.
        tokenizer: turns written tokens into text.
        end_token_ids: the tokens of which any ends an answer.
    """

    tokens: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    references: tuple[str, ...]
    tokenizer: Any
    end_token_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.references)

    @property
    def pad_token_id(self) -> int:
        """The token that fills a shorter prompt."""
        found: int = self.tokenizer.pad_token_id
        return found

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the number of tokens of each prompt, shape (rows,)."""
        return np.diff(self.offsets)

    def take(self, rows: Indices, side: Literal["left", "right"]) -> dict[str, torch.Tensor]:
        """Return `input_ids` and `attention_mask` of shape (batch, longest of the batch), padded on one side."""
        lengths = self.lengths()[rows]
        width = int(lengths.max())
        ids = np.full((len(rows), width), self.pad_token_id, dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            inside = slice(width - length, width) if side == "left" else slice(0, length)
            ids[place, inside] = self.tokens[self.offsets[row] : self.offsets[row + 1]]
            mask[place, inside] = 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}

    def first(self, count: int) -> PromptedRows:
        """Return the first rows, at most `count`."""
        kept = min(count, len(self))
        offsets = self.offsets[: kept + 1]
        return PromptedRows(
            self.tokens[: offsets[-1]], offsets, self.references[:kept], self.tokenizer, self.end_token_ids
        )


def prompted_rows(
    prompts: Sequence[Sequence[int]], references: Sequence[str], tokenizer: Any, end_token_ids: Sequence[int]
) -> PromptedRows:
    """Return prompts with their references; `end_token_ids` may name a token twice."""
    tokens = np.fromiter((token for prompt in prompts for token in prompt), dtype=np.int32)
    offsets = np.cumsum([0, *map(len, prompts)], dtype=np.int64)
    return PromptedRows(tokens, offsets, tuple(references), tokenizer, tuple(dict.fromkeys(end_token_ids)))
