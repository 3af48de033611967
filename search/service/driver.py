"""`python -m search.service.driver NAME`: the job of one search, which begins it or takes it up, wherever it stands."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path

from search import home as search_home
from search.cli import exit_code
from search.commands.launching import search, take_up
from search.options import console
from search.service.confinement import check_places, confined_again
from search.service.settings import Settings, job_settings
from spaces.errors import RequestError, Unreachable, WorkError
from spaces.sections import NAME
from spaces.spec import dump_spec
from tracking.client import reading
from tracking.requests import Request, find_requests
from tracking.spool import Spool
from trainables.allowed_folders import reading_only


def main() -> int:
    """Run the search on the cluster that the job belongs to; the exit code is that of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    given, settings = job_settings(parser)
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):  # names of models and data are no folders
        return exit_code(lambda: _confined(given.name, settings))


def _confined(name: str, settings: Settings) -> int:
    """Drive, and read models and data where the operator allows it, whatever a spec has become since it was checked."""
    with reading_only(settings.readable):
        return _drive(name, settings)


def _drive(name: str, settings: Settings) -> int:
    if not re.fullmatch(NAME, name):
        raise RequestError(f"search {name!r}: no name of a search; allowed: letters, digits, and . _ - within")
    home, uri = settings.storage / name, settings.tracking_uri
    # Ray gives its jobs the address of their cluster.
    address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        request = _request(name, uri)
        if request is not None and request.wanted == "stop":
            # Nothing that ended: who wants the search again meanwhile is given another job.
            raise WorkError(f"search {name!r} is to stop, and was not begun")
        if search_home.exists(home):  # no `resume`, which would take back a stop that is asked for now
            check_places(search_home.read(home)[0], settings)
            code = take_up(home, address, uri, console())
        else:
            code = _begin(name, request, address, settings)
    except Unreachable as error:  # nobody's request is wrong: the next job may find it
        raise WorkError(str(error)) from None
    if search_home.is_finished(home) and (waiting := Spool(home).unsent):
        raise WorkError(f"MLflow does not answer: {waiting} events of the finished search wait for the next driver")
    return code


def _request(name: str, uri: str) -> Request | None:
    with reading(uri) as client:
        return next(iter(find_requests(client, name)), None)


def _begin(name: str, request: Request | None, address: str, settings: Settings) -> int:
    if request is None:
        raise RequestError(f"search {name!r}: nobody asked for it")
    spec = confined_again(request.readable(), settings)
    if spec.name != name:
        raise RequestError(f"search {name!r}: its spec has name = {spec.name}; allowed: the same name")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as file:
        file.write(dump_spec(spec))
        file.flush()
        return search(Path(file.name), [], address, settings.tracking_uri, console())


if __name__ == "__main__":
    sys.exit(main())
