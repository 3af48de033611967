"""The two ways in which a command ends early: the request was wrong, or the work failed."""

from __future__ import annotations


class RequestError(ValueError):
    """The request cannot be served as it stands (exit code 2). The message is one line for the user."""


class Unreachable(RequestError):
    """Nothing answers at an address: for a command a wrong request, for a service a trouble of its own."""


class Unknown(RequestError):
    """A name or an id that nothing has."""


class WorkError(RuntimeError):
    """Work had begun and failed (exit code 1). The message is one line for the user."""


class Hopeless(WorkError):
    """Work was given up: tried again as things stand, it would fail again."""


class Away(WorkError):
    """Something that the work stands on fails for now: the same work may be done later."""


class NoAnswer(WorkError):
    """A search found nothing that could be handed over unasked."""
