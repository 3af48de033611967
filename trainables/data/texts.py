"""Encodes texts and pairs of texts for classification and regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from trainables.data.column_checks import texts
from trainables.data.control_tokens import check_control_tokens, control_notes, encode
from trainables.data.encoded_split import Array, Cut, EncodedTokens, end_to_end, offsets_of
from trainables.data.tables import Column, Table, shown
from trainables.data.tokenizer import load_tokenizer


@dataclass(frozen=True)
class TextEncoder:
    """Encodes one text, or two that the tokenizer joins as a pair; longer ones are cut to `max_length` tokens."""

    tokenizer: Any
    columns: tuple[Column, ...]
    max_length: int

    def encode(self, table: Table, targets: Array | None) -> EncodedTokens:
        """Encode the table's texts as `input_ids` and, if the tokenizer makes them, `token_type_ids`.

        Raises:
            RequestError: when a text is missing, blank or not a text.
        """
        inputs = [texts(table, column) for _, column in self.columns]
        encoded = encode(
            self.tokenizer, *inputs, truncation=True, max_length=self.max_length, return_attention_mask=False
        )
        rows = encoded["input_ids"]
        own = self.tokenizer.num_special_tokens_to_add(pair=len(inputs) > 1)
        for position, row in enumerate(rows):
            if len(row) <= own:
                raise table.problem(position, f"{shown(inputs[0][position])} has no tokens; allowed: text with any")
        check_control_tokens(self.tokenizer, table, rows, own)
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        columns = {name: end_to_end(encoded[name]) for name in padding if name in encoded}
        kept = {name: padding[name] for name in columns}
        cut, notes = self._cut(inputs, rows), control_notes(self.tokenizer, *inputs)
        return EncodedTokens(targets, columns, offsets_of(rows), kept, cut=cut, notes=notes)

    def _cut(self, inputs: Sequence[Sequence[str]], rows: Sequence[Sequence[int]]) -> Cut:
        """Count the rows that were cut. Only those that fill their room are encoded again, without a limit."""
        full = [position for position, row in enumerate(rows) if len(row) >= self.max_length]
        if not full:
            return Cut(longest=max(map(len, rows), default=0))
        chosen = ([column[position] for position in full] for column in inputs)
        lengths = [len(row) for row in encode(self.tokenizer, *chosen, return_attention_mask=False)["input_ids"]]
        return Cut(rows=sum(length > self.max_length for length in lengths), longest=max(lengths))


def text_encoder(spec: SearchSpec) -> TextEncoder:
    """Return the encoder of `data.text`.

    Raises:
        RequestError: when `data.max_length` leaves no room for a token of each text.
    """
    columns = tuple(("data.text", column) for column in spec.data.text or ("text",))
    tokenizer = load_tokenizer(spec)
    own = tokenizer.num_special_tokens_to_add(pair=len(columns) > 1)
    if spec.data.max_length < own + len(columns):
        raise RequestError(
            f"data.max_length = {spec.data.max_length}: no room for text beside {own} tokens of the tokenizer's own; "
            f"allowed: at least {own + len(columns)}"
        )
    return TextEncoder(tokenizer, columns, spec.data.max_length)
