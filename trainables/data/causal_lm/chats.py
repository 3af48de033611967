"""Encodes chats through the chat template, with the assistant's turns as the tokens to learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spaces.errors import RequestError
from spaces.spec.spec import SearchSpec
from trainables.data.causal_lm.assistant_turns import Unclear, assistant_turns, turn_end
from trainables.data.causal_lm.chat_template import ChatTemplate, TemplateFails, chat_template
from trainables.data.causal_lm.chat_tokens import ChatTokenizer, ChatTokens, Rendered
from trainables.data.causal_lm.messages import Chat, read_chats
from trainables.data.control_tokens import control_notes
from trainables.data.encoded_split import IGNORED_LABEL, Array, Cut, EncodedTokens, end_to_end, offsets_of
from trainables.data.prompts import cut
from trainables.data.tables import Column, Table
from trainables.data.tokenizer import load_tokenizer
from trainables.prompted_rows import PromptedRows, prompted_rows

_AT_ONCE = 1000
"""Chats that are tokenized together: the places of their tokens take much memory."""


@dataclass(frozen=True)
class LastTurn:
    """The question and the reference of a generated answer.

    Attributes:
        prompt: the ids of the tokens after which the assistant writes the last turn of its chat, uncut.
        reference: the text of that turn, as the data has it.
    """

    prompt: tuple[int, ...]
    reference: str


@dataclass(frozen=True)
class ChatEncoder:
    """Encodes whole chats as the template renders them; the tokens within the assistant's turns are the labels.

    Names of control tokens in messages are read as text, those that the template writes as control tokens. Of a chat
    that is too long, the part before the first learnt token loses its beginning, the part from there on its end. With
    `writes` the prompts of the last turns are kept as well, for a model to write answers to them.
    """

    template: ChatTemplate
    columns: tuple[Column, ...]
    max_length: int
    writes: bool = False

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the base."""
        return self.template.tokenizer

    def encode(self, table: Table, targets: Array | None) -> EncodedTokens:
        """Encode the table's chats as `input_ids` and token `labels`; `targets` must be None.

        Raises:
            RequestError: naming the row, when a chat is none, or the template refuses it or does not tell its turns.
        """
        chats = read_chats(table, self.columns)
        inputs, labels, lengths = [], [], []
        ends_lost = shared = endless = 0
        for position, tokens in enumerate(self._tokens(table, chats)):
            if not tokens.learnt.any():
                raise table.problem(position, "no token lies within the assistant's turns; allowed: chats with any")
            ids, wanted, lost = self._cut(tokens)
            inputs.append(ids)
            labels.append(wanted)
            lengths.append(len(tokens.ids))
            ends_lost += lost
            shared += tokens.shared
            endless += not tokens.stops
        found = Cut(sum(length > self.max_length for length in lengths), ends_lost, max(lengths, default=0))
        padding = {"input_ids": self.tokenizer.pad_token_id, "labels": IGNORED_LABEL}
        columns = {"input_ids": end_to_end(inputs), "labels": end_to_end(labels)}
        notes = control_notes(self.tokenizer, ["\n".join(one["content"] for one in chat.messages) for chat in chats])
        if shared:
            notes += (f"rows with a token that lies half within an assistant's turn, and is not learnt: {shared:,}",)
        if endless:
            notes += (f"rows whose turns end without a control token, so that no end is learnt: {endless:,}",)
        prompted = self._prompted(table) if self.writes else None
        return EncodedTokens(targets, columns, offsets_of(inputs), padding, cut=found, notes=notes, prompted=prompted)

    def _prompted(self, table: Table) -> PromptedRows:
        """Return the prompts of the last turns, which keep their beginning token and their end if they are too long."""
        turns, prompts = self.last_turns(table), []
        for turn in turns:
            beginning = turn.prompt[: turn.prompt[0] == self.tokenizer.bos_token_id]
            rest = turn.prompt[len(beginning) :]
            prompts.append([*beginning, *rest[-(self.max_length - len(beginning)) :]])
        end = turn_end(self.template)
        ends = [] if end is None else [self.tokenizer.convert_tokens_to_ids(end)]
        if self.tokenizer.eos_token_id is not None:
            ends.append(self.tokenizer.eos_token_id)
        return prompted_rows(prompts, [turn.reference for turn in turns], self.tokenizer, ends)

    def _cut(self, tokens: ChatTokens) -> tuple[list[int], list[int], bool]:
        """Return the ids and labels that fit into `max_length`, and whether the end of the last turn was lost."""
        ids, learnt = tokens.ids, np.flatnonzero(tokens.learnt)
        first = int(learnt[0])
        wanted = [one if is_learnt else IGNORED_LABEL for one, is_learnt in zip(ids, tokens.learnt, strict=True)]
        beginning = ids[:1] if first and ids[0] == self.tokenizer.bos_token_id else []
        before, after = cut(ids[len(beginning) : first], ids[first:], self.max_length - len(beginning))
        kept = [*beginning, *before]
        unlearnt = [IGNORED_LABEL] * len(kept)
        return [*kept, *after], [*unlearnt, *wanted[first : first + len(after)]], int(learnt[-1]) >= first + len(after)

    def last_turns(self, table: Table) -> list[LastTurn]:
        """Return for each row of the table the prompt of the assistant's last turn, and the turn as the reference.

        The prompt is what `encode` puts before that turn, so a model that was trained on such chats can be asked to
        write it.

        Raises:
            RequestError: naming the row, when a chat is none, or the template refuses it.
        """
        chats, rendered, read = read_chats(table, self.columns), [], ChatTokenizer(self.tokenizer)
        for position, chat in enumerate(chats):
            messages, separator = read.separated(chat.messages[:-1])
            try:
                rendered.append(Rendered(self.template.render(messages, asks=True), (), separator))
            except TemplateFails as error:
                raise _problem(table, position, error) from None
        prompts = [
            tuple(tokens.ids)
            for start in range(0, len(rendered), _AT_ONCE)
            for tokens in read.tokens(rendered[start : start + _AT_ONCE])
        ]
        return [LastTurn(prompt, chat.reference) for prompt, chat in zip(prompts, chats, strict=True)]

    def _tokens(self, table: Table, chats: Sequence[Chat]) -> Iterator[ChatTokens]:
        read = ChatTokenizer(self.tokenizer)
        for start in range(0, len(chats), _AT_ONCE):
            part = chats[start : start + _AT_ONCE]
            rendered = [self._rendered(table, position, chat, read) for position, chat in enumerate(part, start)]
            for position, tokens in enumerate(read.tokens(rendered), start):
                if tokens.commands:
                    raise table.problem(
                        position, "its tokenizer reads a part of a message as a control token; allowed: text without"
                    )
                yield tokens

    def _rendered(self, table: Table, position: int, chat: Chat, read: ChatTokenizer) -> Rendered:
        messages, separator = read.separated(chat.messages)
        try:
            text, turns = assistant_turns(self.template, Chat(tuple(messages), chat.learnt))
        except TemplateFails as error:
            raise _problem(table, position, error) from None
        return Rendered(text, turns, separator)


def _problem(table: Table, position: int, error: TemplateFails) -> RequestError:
    if isinstance(error, Unclear):
        return table.problem(position, f"the chat template {error}")
    return table.problem(position, f"the chat template refuses the chat ({error}); allowed: a chat as it wants it")


def chat_encoder(spec: SearchSpec) -> ChatEncoder:
    """Return the encoder of `data.messages`.

    Raises:
        RequestError: when there is no chat template, or the tokenizer does not tell the places of its tokens.
    """
    tokenizer = load_tokenizer(spec)
    if not tokenizer.is_fast:
        raise RequestError(
            f"model.path = {spec.model.path}: its tokenizer does not tell the places of its tokens in a text; "
            "allowed for data.messages: one with a tokenizer.json"
        )
    columns = tuple(("data.messages", column) for column in spec.data.messages or ())
    writes = spec.objective.generation is not None
    return ChatEncoder(chat_template(spec, tokenizer), columns, spec.data.max_length, writes)
