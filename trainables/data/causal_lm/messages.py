"""Reads chats from the columns of `data.messages`, and checks their messages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainables.data.column_checks import texts
from trainables.data.tables import Column, Table, shown

Message = dict[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")
ASSISTANT = "assistant"
_MAY_BE_EMPTY = frozenset({"system", "developer", "tool"})


@dataclass(frozen=True)
class Chat:
    """The messages of one row, up to the last of the assistant's.

    Attributes:
        messages: each with `role` and `content`, and perhaps further fields that the template reads.
        learnt: the positions of the assistant's messages to learn, ascending.
    """

    messages: tuple[Message, ...]
    learnt: tuple[int, ...]

    @property
    def reference(self) -> str:
        """The text of the assistant's last message."""
        content: str = self.messages[-1]["content"]
        return content


class _Wrong(Exception):
    """A problem with the chat of one row; the message tells what is allowed."""


def read_chats(table: Table, columns: Sequence[Column]) -> list[Chat]:
    """Return the chat of each row.

    One column holds whole chats. Two hold a prompt and its completion, each a list of messages or the text of one; then
    only turns of the completion are learnt. Three are those of alpaca: an instruction, an input that may be empty, and
    an output. A list of messages may be written as JSON.

    Raises:
        RequestError: naming the row and the column of a chat that is none.
    """
    names = [name for _, name in columns]
    if len(names) == 3:
        return _instructed(table, names)
    chats = []
    for position, row in enumerate(zip(*(table.columns[name] for name in names), strict=True)):
        try:
            parts = [_messages(name, value, _alone(names, name)) for name, value in zip(names, row, strict=True)]
            chats.append(_chat(names, parts))
        except _Wrong as wrong:
            raise table.problem(position, str(wrong)) from None
    return chats


def _alone(names: Sequence[str], name: str) -> str | None:
    """Return the role of a text in place of a list of messages; None if a text is none."""
    if len(names) == 1:
        return None
    return "user" if name == names[0] else ASSISTANT


def _instructed(table: Table, names: Sequence[str]) -> list[Chat]:
    """Return the chats of alpaca's columns: the input, if there is one, follows the instruction after an empty line."""
    instruction, given, output = names
    asked, answers = texts(table, instruction), texts(table, output)
    chats = []
    for position, (ask, more, answer) in enumerate(zip(asked, table.columns[given], answers, strict=True)):
        if not (more is None or isinstance(more, str)):
            raise table.problem(position, f"column {given!r} holds {shown(more)}; allowed: text, or nothing")
        content = f"{ask}\n\n{more}" if more and more.strip() else ask
        messages = ({"role": "user", "content": content}, {"role": ASSISTANT, "content": answer})
        chats.append(Chat(messages, (1,)))
    return chats


def _chat(names: Sequence[str], parts: Sequence[Sequence[Message]]) -> Chat:
    """Join the parts of one row, and check the order of their roles."""
    named = " and ".join(f"column {name!r}" for name in names)
    messages = [message for part in parts for message in part]
    first = len(messages) - len(parts[-1])
    learnt = [place for place, one in enumerate(messages) if one["role"] == ASSISTANT and place >= first]
    if not learnt:
        raise _Wrong(f"column {names[-1]!r} has no message of the assistant; allowed: one or more, which are learnt")
    for place, (before, one) in enumerate(zip([None, *messages], messages, strict=False), start=1):
        role = one["role"]
        if role == ASSISTANT and (before is None or before["role"] in (ASSISTANT, "system", "developer")):
            after = f"after one of {before['role']}" if before else "at the beginning"
            raise _Wrong(f"{named}: message {place} of the assistant is {after}; allowed: after one of user or tool")
        if role in ("system", "developer") and before is not None:
            raise _Wrong(f"{named}: message {place} has role {role!r}; allowed: as the first alone")
    return Chat(tuple(messages[: learnt[-1] + 1]), tuple(learnt))


def _messages(name: str, value: Any, alone: str | None) -> list[Message]:
    """Return the messages in one value of the column `name`; `alone` is the role of a text that is no list of them."""
    form = "a list of messages, each {role: …, content: …}"
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        raise _Wrong(f"column {name!r} is empty; allowed: {form}")
    given = _parsed(value) if isinstance(value, str) else value
    if given is None and alone:
        return [{"role": alone, "content": value}]
    if not isinstance(given, list):
        raise _Wrong(f"column {name!r} holds {shown(value)}; allowed: {form}")
    if not given:
        raise _Wrong(f"column {name!r} holds a chat without messages; allowed: {form}")
    return [_message(name, place, message) for place, message in enumerate(given, start=1)]


def _parsed(value: str) -> Any:
    """Return the list of objects that a text holds as JSON; None if it is another text."""
    if not value.lstrip().startswith("["):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return found if all(isinstance(one, dict) for one in found) else None


def _message(name: str, place: int, message: Any) -> Message:
    """Return a message without its empty fields, which templates take for values."""
    where = f"column {name!r}: message {place}"
    if not isinstance(message, Mapping):
        raise _Wrong(f"{where} is {shown(message)}; allowed: {{role: …, content: …}}")
    fields = {str(key): value for key, value in message.items() if value is not None}
    if "role" not in fields:
        held = ", ".join(fields) or "nothing"
        raise _Wrong(f"{where} has no role (it has {held}); allowed: {{role: …, content: …}}")
    if fields["role"] not in ROLES:
        raise _Wrong(f"{where} has role {shown(fields['role'])}; allowed: {', '.join(ROLES)}")
    if not isinstance(fields.get("content"), str):
        held = shown(fields["content"]) if "content" in fields else "nothing"
        raise _Wrong(f"{where} has content {held}; allowed: text")
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _Wrong(f"{where} is not valid Unicode; allowed: text") from None
    except (TypeError, ValueError):
        raise _Wrong(f"{where} holds values that are not JSON; allowed: role, content and fields of text") from None
    if not fields["content"].strip() and fields["role"] not in _MAY_BE_EMPTY:
        raise _Wrong(f"{where} of {fields['role']} is empty; allowed: text")
    return fields
