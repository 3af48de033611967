"""The terminal: a console that whole outputs take in turns, and characters for encodings that lack ours."""

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

# As wide as what they replace wherever that is drawn in a table, for a line that became longer would wrap.
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
    """Let the standard streams write a stand-in for each character that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def print_json(document: BaseModel) -> None:
    """Print a document as JSON; where the standard output is not UTF-8, with escapes for all that is not ASCII."""
    text = document.model_dump_json(indent=2)
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    if codecs.lookup(encoding).name != "utf-8":
        text = json.dumps(json.loads(text), indent=2)
    print(text)


class Terminal(Console):
    """A console that one thread writes to at a time, from what it reads of the display to the last byte.

    Rich moves the cursor by the height of the display that was drawn last, and locks neither from there to the writing
    nor what libraries print beside it. A thread that comes between two others' reading and writing would then delete
    lines that it never wrote, and leave some of the display behind.
    """

    def __init__(self, **settings: Any) -> None:
        self.turn = threading.RLock()
        super().__init__(**settings)

    def print(self, *objects: Any, **settings: Any) -> None:
        """As Rich's: what it draws around the objects is looked up within the turn as well."""
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
    """Say what is being done now, before it is done: it may take a while."""
    console.print(f"{work} …", style="dim", highlight=False, soft_wrap=True)


def console() -> Terminal:
    """Where commands print: as wide as the terminal, and wide enough for a table elsewhere."""
    return Terminal(width=None if sys.stdout.isatty() else max(160, int(os.environ.get("COLUMNS", "0") or 0)))
