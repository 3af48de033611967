"""An error of another library on one line."""

from __future__ import annotations

_LONGEST = 300


def one_line(error: BaseException) -> str:
    """What the error says, its line breaks gone and its length limited; its type when it says nothing."""
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__
