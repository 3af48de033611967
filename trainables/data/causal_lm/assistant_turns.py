"""Finds the characters of a rendered chat that the assistant writes, exactly, or refuses the template.

A template that marks them by `{% generation %}` tells them. Of another one they are found by what it renders for parts
of the chat. A turn begins where the text ends with which the template asks the assistant to write; it ends

- for the last turn of a chat, where the text ends;
- where the rendering of the chat up to this turn ends, if the whole chat begins with it, and so does the question for
  a further turn;
- otherwise, after the content, with what the template writes after it whatever follows: a further question, or the
  end of the chat. Qwen3's template renders a turn in another way once a user's message follows (without its empty
  reasoning), and Phi-3's ends each chat with a token. Here a unique word in place of the content finds its end.

A template for which none of this holds, to the character, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from trainables.data.causal_lm.chat_template import ChatTemplate, Range, TemplateFails
from trainables.data.causal_lm.messages import ASSISTANT, Chat, Message
from trainables.data.control_tokens import control_tokens

_WORD = "Zq7xWvK"
_REASONED = "</think>"
"""The end of a reasoning, which templates leave out of earlier turns."""
REMEDY = "allowed: a template that marks the assistant's turns by {% generation %}, by data.chat_template: FILE"


class Unclear(TemplateFails):
    """A template whose rendering does not tell where the assistant's turns begin or end."""


def assistant_turns(template: ChatTemplate, chat: Chat) -> tuple[str, list[Range]]:
    """Return the text of a chat, and the ranges of the assistant's turns to learn, in order.

    Raises:
        TemplateFails: when the template refuses the chat.
        Unclear: when it does not tell where a turn begins or ends.
    """
    messages = chat.messages
    if template.marks_turns:
        text, turns = template.marked(messages)
        first = chat.learnt[0]
        if any(one["role"] == ASSISTANT for one in messages[:first]):  # turns of a prompt, which are not learnt
            begins = len(_before(template, messages, text, first))
            turns = [one for one in turns if one[0] >= begins]
    else:
        text = template.render(messages)
        turns = [_turn(template, messages, text, place) for place in chat.learnt]
    written = _solid("".join(text[start:end] for start, end in turns))
    for place in chat.learnt:
        if _solid(messages[place]["content"].rpartition(_REASONED)[2]) not in written:
            raise Unclear(f"does not write the content of message {place + 1} into the assistant's turn; {REMEDY}")
    return text, turns


def turn_end(template: ChatTemplate) -> str | None:
    """Return the control token that the template writes after an answer; None for the end token, or if it has none."""
    chat = Chat(({"role": "user", "content": "a"}, {"role": ASSISTANT, "content": _WORD}), (1,))
    try:
        text, _ = assistant_turns(template, chat)
    except TemplateFails:
        return None
    after = text.rpartition(_WORD)[2]
    written = [name for name in control_tokens(template.tokenizer) if name in after]
    first = min(written, key=lambda name: (after.index(name), -len(name)), default=None)
    return None if first == template.tokenizer.eos_token else first


def _solid(text: str) -> str:
    """Return the text without blanks, which templates trim."""
    return "".join(text.split())


def _before(template: ChatTemplate, messages: Sequence[Message], text: str, place: int) -> str:
    """Return the beginning of the text with which the assistant is asked for the message at `place`."""
    asked = template.render(messages[:place], asks=True)
    if not text.startswith(asked):
        raise Unclear(f"renders what comes before message {place + 1} in another way once that follows; {REMEDY}")
    return asked


def _turn(template: ChatTemplate, messages: Sequence[Message], text: str, place: int) -> Range:
    asked = _before(template, messages, text, place)
    if place == len(messages) - 1:
        return len(asked), len(text)
    upto, further = (template.render(messages[: place + 1], asks=asks) for asks in (False, True))
    if text.startswith(upto) and further.startswith(upto) and len(upto) > len(asked):
        return len(asked), len(upto)
    end = _end_after_content(template, messages, text, place)
    if end <= len(asked):
        raise Unclear(f"does not tell where message {place + 1} ends; {REMEDY}")
    return len(asked), end


def _end_after_content(template: ChatTemplate, messages: Sequence[Message], text: str, place: int) -> int:
    """Return the end of a turn: that of its content, and of what follows it in the whole chat and in both its ends."""
    unclear = Unclear(f"does not tell where message {place + 1} ends; {REMEDY}")
    word = _WORD
    while word in text:
        word += "Q"
    replaced = [*messages[:place], {**messages[place], "content": word}]
    parts = [
        template.render([*replaced, *messages[place + 1 :]]).split(word),
        template.render(replaced).split(word),
        template.render(replaced, asks=True).split(word),
    ]
    if any(len(one) != 2 for one in parts):
        raise unclear
    (before, after), (_, ended), (_, asking) = parts
    if not (text.startswith(before) and text.endswith(after) and len(before) + len(after) < len(text)):
        raise unclear
    closing = _common(template.tokenizer, ended, asking)
    if closing is None or not after.startswith(closing):
        raise unclear
    return len(text) - len(after) + len(closing)


def _common(tokenizer: Any, ended: str, asking: str) -> str | None:
    """Return the longest common beginning of two texts that cuts no control token.

    None if it is empty or ends within running text of both, where it would be an accident, unless the first text is
    whole in it.
    """
    names = sorted(control_tokens(tokenizer), key=len, reverse=True)
    atom = re.compile("|".join([*map(re.escape, names), "(?s:.)"]))
    one, other = (atom.findall(text) for text in (ended, asking))
    same = [left for left, right in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]
    rest = [atoms[len(same)] for atoms in (one, other) if len(atoms) > len(same)]
    if len(one) > len(same) and not (same and any(len(first) > 1 for first in rest)):
        return None
    return "".join(same)
