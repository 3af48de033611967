"""Encodes prompts for an encoder, and the responses to learn for its decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from trainables.base_model.config import config_alone
from trainables.data.column_checks import texts
from trainables.data.control_tokens import check_control_tokens, control_notes, encode
from trainables.data.encoded_split import (
    IGNORED_LABEL,
    Array,
    Batch,
    Cut,
    EncodedSplit,
    EncodedTokens,
    Indices,
    end_to_end,
    offsets_of,
)
from trainables.data.tables import Column, Table
from trainables.data.tokenizer import load_tokenizer
from trainables.prompted_rows import prompted_rows


@dataclass(frozen=True)
class EncodedPairs(EncodedSplit):
    """Token sequences that an encoder reads, and those that its decoder writes; `targets` is None.

    `written` has the columns `labels` and `decoder_input_ids`, which are the labels one place later.
    """

    read: EncodedTokens
    written: EncodedTokens

    def __len__(self) -> int:
        return len(self.read)

    def lengths(self) -> npt.NDArray[np.int64]:
        return self.read.lengths() + self.written.lengths()

    def sequences(self) -> tuple[EncodedTokens, ...]:
        return self.read, self.written

    def inputs(self, indices: Indices) -> Batch:
        """Return int64 tensors of shape (batch, longest of the batch), the longest on either side."""
        written = self.written.inputs(indices)
        # Padding is behind all that is learnt, so the decoder's own mask suffices.
        del written["attention_mask"]
        return {**self.read.inputs(indices), **written}

    def arrays(self) -> dict[str, Array]:
        sides = {"read": self.read, "written": self.written}
        return {f"{side}.{name}": array for side, one in sides.items() for name, array in one.arrays().items()}


@dataclass(frozen=True)
class PairEncoder:
    """Encodes prompts and responses, each with the tokens that the tokenizer adds; either is cut to `max_length`.

    A response ends with the end token. The decoder begins with `start`, as in the base's pretraining. With `writes` the
    prompts are kept as well, for a model to write answers to them.
    """

    tokenizer: Any
    columns: tuple[Column, ...]
    max_length: int
    start: int
    writes: bool = False

    def encode(self, table: Table, targets: Array | None) -> EncodedPairs:
        """Encode the table's rows; `targets` must be None.

        Raises:
            RequestError: when a prompt or response is missing, blank or not a text.
        """
        prompts, responses = (texts(table, column) for _, column in self.columns)
        inputs = self._rows(table, self.columns[0][1], prompts, written=False)
        labels = [self._ended(row) for row in self._rows(table, self.columns[1][1], responses, written=True)]
        lengths = [max(len(one), len(other)) for one, other in zip(inputs, labels, strict=True)]
        found = Cut(
            rows=sum(length > self.max_length for length in lengths),
            responses=sum(len(row) > self.max_length for row in labels),
            longest=max(lengths, default=0),
        )
        kept: list[list[int]] = encode(self.tokenizer, prompts, truncation=True, max_length=self.max_length)[
            "input_ids"
        ]
        learnt = [row[: self.max_length] for row in labels]
        before = [[self.start, *row[:-1]] for row in learnt]
        padding = self.tokenizer.pad_token_id
        read = EncodedTokens(None, {"input_ids": end_to_end(kept)}, offsets_of(kept), {"input_ids": padding})
        columns = {"labels": end_to_end(learnt), "decoder_input_ids": end_to_end(before)}
        written = EncodedTokens(
            None, columns, offsets_of(learnt), {"labels": IGNORED_LABEL, "decoder_input_ids": padding}
        )
        notes = control_notes(self.tokenizer, prompts, responses)
        prompted = None
        if self.writes:
            prompted = prompted_rows(kept, responses, self.tokenizer, [self.tokenizer.eos_token_id])
        return EncodedPairs(None, read, written, cut=found, notes=notes, prompted=prompted)

    def _rows(self, table: Table, column: str, given: Sequence[str], *, written: bool) -> list[list[int]]:
        rows: list[list[int]] = encode(self.tokenizer, given, written=written)["input_ids"]
        own = self.tokenizer.num_special_tokens_to_add()
        for position, row in enumerate(rows):
            if len(row) <= own:
                raise table.problem(position, f"column {column!r} has no tokens; allowed: text with any")
        check_control_tokens(self.tokenizer, table, rows, own)
        return rows

    def _ended(self, row: list[int]) -> list[int]:
        end: int = self.tokenizer.eos_token_id
        return row if row[-1] == end else [*row, end]


def pair_encoder(spec: SearchSpec) -> PairEncoder:
    """Return the encoder of `data.prompt` and `data.response` for an encoder and its decoder.

    Raises:
        RequestError: when the tokenizer has no end token, or the config no token with which the decoder starts; when
            `data.max_length` leaves no room for text.
    """
    model = spec.model
    tokenizer = load_tokenizer(spec)
    if tokenizer.eos_token_id is None:
        raise RequestError(
            f"model.path = {model.path}: its tokenizer has no end token; allowed for seq2seq-lm: one that has"
        )
    start = getattr(config_alone(model), "decoder_start_token_id", None)
    if start is None:
        raise RequestError(
            f"model.path = {model.path}: its config.json has no decoder_start_token_id; allowed for seq2seq-lm: one "
            "that has, as those of t5, bart and marian"
        )
    own = tokenizer.num_special_tokens_to_add()
    if spec.data.max_length <= own:
        raise RequestError(
            f"data.max_length = {spec.data.max_length}: no room for text beside {own} tokens of the tokenizer's own; "
            f"allowed: at least {own + 1}"
        )
    columns = (("data.prompt", str(spec.data.prompt)), ("data.response", str(spec.data.response)))
    return PairEncoder(tokenizer, columns, spec.data.max_length, start, writes=spec.objective.generation is not None)
