"""Encodes plain text for causal language models: every token is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from trainables.data.column_checks import texts
from trainables.data.control_tokens import check_control_tokens, control_notes, encode
from trainables.data.encoded_split import IGNORED_LABEL, Array, Cut, EncodedTokens, end_to_end, offsets_of
from trainables.data.prompts import begins
from trainables.data.tables import Column, Table
from trainables.data.tokenizer import load_tokenizer


@dataclass(frozen=True)
class PlainTextEncoder:
    """Encodes beginning token (if the tokenizer adds one), text and end token; all of them are labels.

    A model predicts no first token, so the first one is only read.
    """

    tokenizer: Any
    columns: tuple[Column, ...]
    max_length: int

    def encode(self, table: Table, targets: Array | None) -> EncodedTokens:
        """Encode the table's texts as `input_ids` and token `labels`; `targets` must be None.

        Raises:
            RequestError: when a text is missing, blank or not a text.
        """
        ((_, column),) = self.columns
        rows = encode(self.tokenizer, texts(table, column), add_special_tokens=False)["input_ids"]
        check_control_tokens(self.tokenizer, table, rows, own=0)
        beginning, end = begins(self.tokenizer), [self.tokenizer.eos_token_id]
        whole = [beginning + row + end for row in rows]
        for position, row in enumerate(rows):
            if not row:
                raise table.problem(position, f"column {column!r} has no tokens; allowed: text with any")
        kept = [row[: self.max_length] for row in whole]
        found = Cut(sum(len(row) > self.max_length for row in whole), longest=max(map(len, whole), default=0))
        tokens = end_to_end(kept)
        padding = {"input_ids": self.tokenizer.pad_token_id, "labels": IGNORED_LABEL}
        notes = control_notes(self.tokenizer, table.columns[column])
        columns = {"input_ids": tokens, "labels": tokens}
        return EncodedTokens(targets, columns, offsets_of(kept), padding, cut=found, notes=notes)


def plain_text_encoder(spec: SearchSpec) -> PlainTextEncoder:
    """Return the encoder of `data.text` for a causal language model.

    Raises:
        RequestError: when the tokenizer has no end token, without which a text never ends.
    """
    tokenizer = load_tokenizer(spec)
    if tokenizer.eos_token_id is None:
        raise RequestError(
            f"model.path = {spec.model.path}: its tokenizer has no end token; allowed for causal-lm: one that has"
        )
    ((column,),) = (spec.data.text or (),)
    return PlainTextEncoder(tokenizer, (("data.text", column),), spec.data.max_length)
