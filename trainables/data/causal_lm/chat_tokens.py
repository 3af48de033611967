"""Tokenizes rendered chats, and tells which tokens lie within the assistant's turns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.data.causal_lm.chat_template import Range
from trainables.data.causal_lm.messages import Message
from trainables.data.control_tokens import control_tokens, places_within

_PRIVATE = range(0x10FFFD, 0x10F000, -1)
"""Characters without a meaning, one of which separates the letters of a control token's name in a message."""

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rendered:
    """The text of a chat.

    Attributes:
        text: as the template renders it.
        turns: the ranges of characters to learn.
        separator: the character that was put into names of control tokens in messages; None if there are none.
    """

    text: str
    turns: Sequence[Range] = ()
    separator: str | None = None


@dataclass(frozen=True)
class ChatTokens:
    """The tokens of a chat.

    Attributes:
        ids: their ids.
        learnt: whether all characters of a token lie within a turn to learn, shape (tokens,).
        shared: whether some token has characters of a turn and of what is around it.
        stops: whether a control token is learnt, which ends a turn.
        commands: whether a control token was read from a message in spite of the separator.
    """

    ids: list[int]
    learnt: Mask
    shared: bool
    stops: bool
    commands: bool = False


@dataclass(frozen=True)
class ChatTokenizer:
    """Reads the names of control tokens in messages as text, and those that a template writes as control tokens."""

    tokenizer: Any

    @cached_property
    def _inside_names(self) -> re.Pattern[str]:
        return re.compile(places_within(control_tokens(self.tokenizer)))

    @cached_property
    def _controls(self) -> list[int]:
        return list(control_tokens(self.tokenizer).values())

    def separated(self, messages: Sequence[Message]) -> tuple[list[Message], str | None]:
        """Return the messages with a separator in every name of a control token, and the separator.

        The messages themselves and None, if no name occurs.
        """
        found = list(messages)
        if not any(self._inside_names.search(text) for text in _texts(found)):
            return found, None
        present = set().union(*_texts(found))
        separator = next(one for one in map(chr, _PRIVATE) if one not in present)
        return [_replaced(message, self._inside_names, separator) for message in found], separator

    def tokens(self, chats: Sequence[Rendered]) -> list[ChatTokens]:
        """Return the tokens of each chat, whose text is tokenized as a whole."""
        encoded = self._encode([chat.text for chat in chats], return_offsets_mapping=True)
        pairs = zip(chats, encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return [
            self._of_chat(chat, ids, np.array(places, dtype=np.int64).reshape(-1, 2)) for chat, ids, places in pairs
        ]

    def _encode(self, texts: Sequence[str], **options: Any) -> Any:
        return self.tokenizer(
            list(texts), add_special_tokens=False, split_special_tokens=False, verbose=False, **options
        )

    def _of_chat(self, chat: Rendered, ids: list[int], places: Places) -> ChatTokens:
        starts, ends = places.T
        begins = self._beginnings(chat, ids, starts, ends)
        learnt, shared = np.zeros(len(ids), dtype=bool), False
        for first, last in chat.turns:
            learnt |= (begins >= first) & (ends <= last) & (ends > first)
            shared |= bool(((begins < first) & (ends > first) | (starts < last) & (ends > last)).any())
        controls = np.isin(ids, self._controls)
        stops = bool((controls & learnt).any())
        if chat.separator is None:
            return ChatTokens(ids, learnt, shared, stops)
        separators = np.array([one == chat.separator for one in chat.text])
        within = np.concatenate([[0], np.cumsum(separators)])
        separating = (ends == starts + 1) & (within[ends] > within[starts])
        kept = ~separating
        return ChatTokens(
            [one for one, keep in zip(ids, kept, strict=True) if keep],
            learnt[kept],
            shared,
            stops,
            commands=bool((controls & (within[ends] > within[starts])).any()),
        )

    def _beginnings(self, chat: Rendered, ids: list[int], starts: Places, ends: Places) -> Places:
        """Return where the characters of each token begin.

        Some tokenizers leave blanks before a token out of its place, others give blanks to no token. So a token begins
        where the one before it ends, unless that is before a turn, and the text before the turn alone has just the
        tokens that come before this one.
        """
        before = np.maximum.accumulate(np.concatenate([[0], ends[:-1]]))
        begins = np.minimum(starts, before)
        for first, _ in chat.turns:
            for place in np.flatnonzero((before < first) & (first <= starts)):
                if self._encode([chat.text[:first]])["input_ids"][0] == ids[:place]:
                    begins[place] = starts[place]
        return begins


def _texts(messages: Sequence[Any]) -> list[str]:
    """Return every text in messages, wherever it lies in them."""
    found: list[str] = []
    for one in messages:
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict):
            found += _texts(list(one.values()))
        elif isinstance(one, list):
            found += _texts(one)
    return found


def _replaced(value: Any, inside: re.Pattern[str], separator: str) -> Any:
    if isinstance(value, str):
        return inside.sub(separator, value)
    if isinstance(value, dict):
        return {key: _replaced(one, inside, separator) for key, one in value.items()}
    return [_replaced(one, inside, separator) for one in value] if isinstance(value, list) else value
