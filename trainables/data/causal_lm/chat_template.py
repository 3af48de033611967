"""The chat template of a tokenizer, or of a file that the spec names, and chats rendered by it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError
from transformers.utils.chat_template_utils import render_jinja_template

from spaces.errors import RequestError, one_line
from spaces.spec.spec import SearchSpec
from trainables.data.causal_lm.messages import Message

Range = tuple[int, int]
"""The beginning and the end of some characters of a text."""

_MARK = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
_DATE = "26 Jul 2024"
"""The date that templates of Llama write where none is given; today's would change the data from day to day."""
_PROBE = [{"role": "user", "content": "a"}]


class TemplateFails(ValueError):
    """A chat that the template does not render; the message gives the template's own reason."""


@dataclass(frozen=True)
class ChatTemplate:
    """Renders chats as the tokenizer's `apply_chat_template` does.

    Attributes:
        tokenizer: gives the names of its control tokens to the template.
        source: the template in Jinja.
    """

    tokenizer: Any
    source: str

    @property
    def marks_turns(self) -> bool:
        """Whether the template marks what the assistant writes, by `{% generation %}`."""
        return _MARK.search(self.source) is not None

    def render(self, messages: Sequence[Message], *, asks: bool = False) -> str:
        """Return the text of a chat; with `asks`, up to the point where the assistant begins to write.

        Raises:
            TemplateFails: when the template refuses the chat.
        """
        try:
            text: str = self.tokenizer.apply_chat_template(
                list(messages),
                chat_template=self.source,
                tokenize=False,
                add_generation_prompt=asks,
                date_string=_DATE,
            )
        except Exception as error:  # a template may do anything
            raise TemplateFails(one_line(error)) from None
        return text

    def marked(self, messages: Sequence[Message]) -> tuple[str, list[Range]]:
        """Return the text of a chat, and the ranges that the template marks as written by the assistant.

        Raises:
            TemplateFails: when the template refuses the chat.
        """
        try:
            texts, ranges = render_jinja_template(
                conversations=[list(messages)],
                chat_template=self.source,
                return_assistant_tokens_mask=True,
                **{**self.tokenizer.special_tokens_map, "date_string": _DATE},
            )
        except Exception as error:  # a template may do anything
            raise TemplateFails(one_line(error)) from None
        return texts[0], [(start, end) for start, end in ranges[0]]


def chat_template(spec: SearchSpec, tokenizer: Any) -> ChatTemplate:
    """Return the template in the file `data.chat_template`, or the tokenizer's own.

    Raises:
        RequestError: when there is none, the file cannot be read, or it is no template.
    """
    given = spec.data.chat_template
    source = _own(spec, tokenizer) if given is None else _read(given)
    named = f"data.chat_template = {given}" if given else f"model.path = {spec.model.path}: its chat template"
    template = ChatTemplate(tokenizer, source)
    try:
        tokenizer.apply_chat_template(_PROBE, chat_template=source, tokenize=False)
    except TemplateSyntaxError as error:
        raise RequestError(
            f"{named}: line {error.lineno}: {one_line(error)}; allowed: a chat template in Jinja"
        ) from None
    except Exception:
        return template  # it may refuse this chat, and not those of the data
    return template


def _own(spec: SearchSpec, tokenizer: Any) -> str:
    try:
        source: str = tokenizer.get_chat_template()
    except ValueError:
        raise RequestError(
            f"model.path = {spec.model.path}: its tokenizer has no chat template; "
            "allowed for data.messages: data.chat_template: FILE, a template in Jinja"
        ) from None
    return source


def _read(path: str) -> str:
    named = f"data.chat_template = {path}"
    try:
        source = Path(path).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RequestError(f"{named}: no such file; allowed: a file with a chat template in Jinja") from None
    except (OSError, ValueError) as error:
        raise RequestError(
            f"{named}: cannot be read ({one_line(error)}); allowed: a file with a chat template in Jinja"
        ) from None
    if not source.strip():
        raise RequestError(f"{named}: is empty; allowed: a file with a chat template in Jinja")
    return source
