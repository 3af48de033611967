"""Commands as processes: how one is started, its exit code, and its error line."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence

import typer

from search.terminal import write_with_stand_ins
from spaces.errors import RequestError, WorkError, one_line

INTERRUPTED = 130
"""Typer returns this code for a KeyboardInterrupt."""

_PREFIX = "paretune: "


def command(arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs `paretune` with these arguments in this installation."""
    return [sys.executable, "-m", "search.cli", *arguments]


def exit_code(work: Callable[[], object]) -> int:
    """Do the work of a command, and print an error as one line on the standard error.

    Returns:
        0: done; 1: the work failed or was interrupted; 2: the request was wrong; or the number that `work` returned.
    """
    write_with_stand_ins()
    try:
        outcome = work()
    except RequestError as error:
        return _complain(error, 2)
    except WorkError as error:
        return _complain(error, 1)
    except OSError as error:
        # Such as a full disk: a traceback would explain nothing.
        return _complain(error, 1)
    except typer.Abort:
        return _complain("interrupted", 1)
    except typer.exceptions.TyperException as error:
        return _complain(error.format_message(), 2)
    except Exception as error:
        named = one_line(f"{type(error).__name__}: {error}", 500)
        return _complain(f"{named}; please report this, with what stands in {_keep_traceback()}", 1)
    if outcome == INTERRUPTED:
        return _complain("interrupted", 1)
    return outcome if isinstance(outcome, int) else 0


def complaint(error: object) -> str:
    """Return the line in which a command reports an error."""
    return _PREFIX + one_line(error, None)


def last_complaint(output: str) -> str | None:
    """Return the last error that the output of a command reports, without its prefix; None where it reports none."""
    lines = [line for line in output.splitlines() if line.startswith(_PREFIX)]
    return lines[-1].removeprefix(_PREFIX) if lines else None


def _complain(error: object, code: int) -> int:
    print(complaint(error), file=sys.stderr)
    return code


def _keep_traceback() -> str:
    """Write the traceback of the current error to a file, and return its path."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="paretune-", suffix=".txt", delete=False) as file:
        file.write(traceback.format_exc())
    return file.name
