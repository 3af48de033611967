"""`python -m search.service.driver NAME`: the job of one search, which begins it or takes it up, wherever it stands."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from search import home as search_home
from search.cli import exit_code
from search.commands.launching import search, take_up
from search.processes import complaint
from search.service.scheduling import GIVEN_UP
from search.terminal import console
from spaces.errors import Hopeless, RequestError, Unreachable, WorkError
from spaces.spec import dump_spec
from tracking.client import reading
from tracking.requests import Request, find_requests
from tracking.spool import Spool


def main() -> int:
    """Run the search on the cluster that the job belongs to.

    The exit code is that of the command, but `GIVEN_UP` of a search that another job would not help.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--tracking-uri", required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):  # names of models and data are no folders
        return exit_code(lambda: _drive(given.name, given.storage / given.name, given.tracking_uri))


def _drive(name: str, home: Path, uri: str) -> int:
    # Ray gives its jobs the address of their cluster.
    address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        request = _request(name, uri)
        if request is not None and request.wanted == "stop":
            # Nothing that ended: who wants the search again meanwhile is given another job.
            raise WorkError(f"search {name!r} is to stop, and was not begun")
        if search_home.exists(home):  # no `resume`, which would take back a stop that is asked for now
            code = take_up(home, address, uri, console())
        else:
            code = _begin(name, request, address, uri)
    except Hopeless as error:
        print(complaint(error), file=sys.stderr)
        return GIVEN_UP
    except Unreachable as error:  # nobody's request is wrong: the next job may find it
        raise WorkError(str(error)) from None
    if search_home.is_finished(home) and (waiting := Spool(home).unsent):
        raise WorkError(f"MLflow does not answer: {waiting} events of the finished search wait for the next driver")
    return code


def _request(name: str, uri: str) -> Request | None:
    with reading(uri) as client:
        return next(iter(find_requests(client, name)), None)


def _begin(name: str, request: Request | None, address: str, uri: str) -> int:
    if request is None:
        raise RequestError(f"search {name!r}: nobody asked for it")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as file:
        file.write(dump_spec(request.readable()))
        file.flush()
        return search(Path(file.name), [], address, uri, console())


if __name__ == "__main__":
    sys.exit(main())
