"""Any text in Markdown, shown as it is and never read as markup."""

from __future__ import annotations

import re


def code_span(text: str) -> str:
    """Return the text as code within a line or a table cell, with spaces for line breaks and control characters."""
    shown = " ".join(_plain(text).split()) or " "
    fence = "`" * (_longest_run(shown) + 1)
    room = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{room}{shown}{room}{fence}".replace("|", r"\|")


def code_block(text: str, language: str) -> str:
    """Return the text as a block of code."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
