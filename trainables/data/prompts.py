"""Encodes prompts with the responses to learn, for causal language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from trainables.data.column_checks import texts
from trainables.data.control_tokens import check_control_tokens, control_notes, encode
from trainables.data.encoded_split import IGNORED_LABEL, Array, Cut, EncodedTokens, end_to_end, offsets_of
from trainables.data.tables import Column, Table
from trainables.data.tokenizer import load_tokenizer
from trainables.prompted_rows import PromptedRows, prompted_rows


def cut(prompt: Sequence[int], response: Sequence[int], room: int) -> tuple[list[int], list[int]]:
    """Cut prompt and response to at most `room` tokens together.

    A prompt loses its beginning, a response its end. The response is kept whole as long as it leaves a short prompt
    untouched or fits into half of the room, so neither can crowd out the other.
    """
    kept = list(response[: max(room - len(prompt), room - room // 2)])
    left = room - len(kept)
    return list(prompt[max(0, len(prompt) - left) :]), kept


def begins(tokenizer: Any) -> list[int]:
    """Return the beginning token, if the tokenizer puts it before a text."""
    special: list[int] = tokenizer("")["input_ids"][:1]
    return special if tokenizer.bos_token_id in special else []


@dataclass(frozen=True)
class ResponseEncoder:
    """Encodes beginning token (if the tokenizer adds one), prompt, response and end token; the last two are the labels.

    Prompt and response are tokenized separately, so that no token straddles the boundary. With `writes` the prompts are
    kept as well, for a model to write answers to them.
    """

    tokenizer: Any
    columns: tuple[Column, ...]
    max_length: int
    writes: bool = False

    def encode(self, table: Table, targets: Array | None) -> EncodedTokens:
        """Encode the table's rows as `input_ids` and token `labels`; `targets` must be None.

        Raises:
            RequestError: when a prompt or response is missing, blank or not a text.
        """
        prompts, responses = (self._tokens(table, column) for _, column in self.columns)
        beginning = begins(self.tokenizer)
        end = [self.tokenizer.eos_token_id]
        inputs, labels, lengths, ends_lost = [], [], [], 0
        for prompt, response in zip(prompts, responses, strict=True):
            before, after = cut(prompt, response + end, self.max_length - len(beginning))
            inputs.append(beginning + before + after)
            labels.append([IGNORED_LABEL] * (len(beginning) + len(before)) + after)
            lengths.append(len(beginning) + len(prompt) + len(response) + len(end))
            ends_lost += len(after) <= len(response)
        padding = {"input_ids": self.tokenizer.pad_token_id, "labels": IGNORED_LABEL}
        columns = {"input_ids": end_to_end(inputs), "labels": end_to_end(labels)}
        found = Cut(sum(length > self.max_length for length in lengths), ends_lost, max(lengths, default=0))
        notes = control_notes(self.tokenizer, *(table.columns[column] for _, column in self.columns))
        room = self.max_length - len(beginning)
        prompted = self._prompted(table, [beginning + prompt[-room:] for prompt in prompts])
        return EncodedTokens(targets, columns, offsets_of(inputs), padding, cut=found, notes=notes, prompted=prompted)

    def _prompted(self, table: Table, prompts: list[list[int]]) -> PromptedRows | None:
        """Return prompts that lost only what has no room at all: beforehand no response is known."""
        if not self.writes:
            return None
        references = texts(table, self.columns[1][1])
        return prompted_rows(prompts, references, self.tokenizer, [self.tokenizer.eos_token_id])

    def _tokens(self, table: Table, column: str) -> list[list[int]]:
        encoded = encode(self.tokenizer, texts(table, column), add_special_tokens=False)["input_ids"]
        for position, tokens in enumerate(encoded):
            if not tokens:
                raise table.problem(position, f"column {column!r} has no tokens; allowed: text with any")
        check_control_tokens(self.tokenizer, table, encoded, own=0)
        rows: list[list[int]] = encoded
        return rows


def response_encoder(spec: SearchSpec) -> ResponseEncoder:
    """Return the encoder of `data.prompt` and `data.response`.

    Raises:
        RequestError: when the tokenizer has no end token, without which a response never ends.
    """
    tokenizer = load_tokenizer(spec)
    if tokenizer.eos_token_id is None:
        raise RequestError(
            f"model.path = {spec.model.path}: its tokenizer has no end token; allowed for causal-lm: one that has"
        )
    columns = (("data.prompt", str(spec.data.prompt)), ("data.response", str(spec.data.response)))
    return ResponseEncoder(tokenizer, columns, spec.data.max_length, writes=spec.objective.generation is not None)
