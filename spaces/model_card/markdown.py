"""Text of any content in Markdown: what it holds is shown and never read as markup."""

from __future__ import annotations

import re


def code_span(text: str) -> str:
    """The text as code within a line, or within a cell of a table; line breaks and control characters become spaces."""
    shown = " ".join(_plain(text).split()) or " "
    fence = "`" * (_longest_run(shown) + 1)
    room = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{room}{shown}{room}{fence}".replace("|", r"\|")


def code_block(text: str, language: str) -> str:
    """The text as a block of code."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
