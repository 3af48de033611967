"""Commands in processes of their own, and the line with which they complain."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_MARK = "paretune: "


def command(arguments: Sequence[str]) -> list[str]:
    """What starts a command with this installation."""
    return [sys.executable, "-m", "search.cli", *arguments]


def complaint(error: object) -> str:
    """The one line in which a command says what is wrong."""
    return _MARK + " ".join(str(error).split())


def last_complaint(said: str) -> str | None:
    """What a command complained of last, if it did."""
    lines = [line for line in said.splitlines() if line.startswith(_MARK)]
    return lines[-1].removeprefix(_MARK) if lines else None
