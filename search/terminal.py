"""The terminal: a console that is safe to share between threads, and stand-ins for characters it cannot show."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import threading
from typing import Any

from pydantic import BaseModel
from rich.console import Console

# In tables each is as wide as the character that it replaces, since a longer line would wrap.
_STAND_INS = {
    "–": "-",
    "—": "-",
    "−": "-",
    "…": ".",
    "×": "x",
    "·": "-",
    "≤": "<",
    "≥": ">",
    "→": ">",
    "±": "+-",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "\N{NO-BREAK SPACE}": " ",
}
_HANDLER = "paretune-stand-in"


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_STAND_INS.get(one, "?") for one in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _stand_in)


def write_with_stand_ins() -> None:
    """Make the standard streams write a stand-in for each character that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def print_json(document: BaseModel) -> None:
    """Print a document as JSON; to a standard output that is not UTF-8, in ASCII with escapes."""
    text = document.model_dump_json(indent=2)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    if codecs.lookup(encoding).name != "utf-8":
        text = json.dumps(json.loads(text), indent=2)
    print(text)


class Terminal(Console):
    """A console that one thread uses at a time, from reading the state of the display to writing the last byte.

    Rich moves the cursor up by the height of the display that was drawn last, and holds no lock between reading that
    height and writing. Without `turn`, a thread that writes in between would make another one delete the wrong lines,
    and leave parts of the display behind.
    """

    def __init__(self, **settings: Any) -> None:
        self.turn = threading.RLock()
        super().__init__(**settings)

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print as Rich's console does, within a turn."""
        with self.turn:
            super().print(*objects, **settings)

    def __enter__(self) -> Terminal:
        self.turn.acquire()
        super().__enter__()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.turn.release()


def announce(console: Console, work: str) -> None:
    """Name a step that may take a while, before it is done."""
    console.print(f"{work} …", style="dim", highlight=False, soft_wrap=True)


def console() -> Terminal:
    """Return a console on the standard output: as wide as the terminal, else wide enough for a table.

    In a notebook it writes plain lines, also from threads, and moves no cursor.
    """
    width = None if sys.stdout.isatty() else max(160, int(os.environ.get("COLUMNS", "0") or 0))
    # A notebook's kernel sets FORCE_COLOR, which Rich takes for a terminal.
    plain = {"force_jupyter": False, "force_terminal": False} if Console().is_jupyter else {}
    return Terminal(width=width, **plain)
