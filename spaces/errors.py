"""Errors that end a command, and the one line in which an error is shown.

A wrong request is a `RequestError` (exit code 2), a failure of the work a `WorkError` (exit code 1).
"""

from __future__ import annotations


class RequestError(ValueError):
    """The request cannot be served as it stands (exit code 2). The message is one line for the user."""


class Unreachable(RequestError):
    """Nothing answers at an address: a wrong request of a command, but an outage for the service."""


class Unknown(RequestError):
    """Nothing has the given name or id."""


class WorkError(RuntimeError):
    """Work had begun and failed (exit code 1). The message is one line for the user."""


class Hopeless(WorkError):
    """Work was given up: unless something changes, it would fail again."""


class Away(WorkError):
    """Something that the work needs is not available at the moment: the same work may succeed later."""


class NoAnswer(WorkError):
    """A search found nothing that may be handed over without being asked for."""


def one_line(said: object, most: int | None = 300) -> str:
    """Return an error, or any text, on one line; the name of its type if it says nothing.

    A query that SQLAlchemy puts below its message is left out.

    Args:
        said: an exception, or a text.
        most: characters after which the line is cut; None keeps all.

    Example:
        >>> one_line(ValueError("database is locked\\n  [or gone]"))
        'database is locked [or gone]'
    """
    message = str(said).partition("\n[SQL:")[0]
    return " ".join(message.split())[:most] or type(said).__name__
