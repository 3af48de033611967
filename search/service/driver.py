"""`python -m search.service.driver NAME`: the job of one search, which begins it or takes it up, wherever it stands."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from pathlib import Path

from search import home as search_home
from search.cli import exit_code, run
from search.commands.launching import take_up
from search.options import console
from spaces.errors import RequestError
from spaces.spec import dump_spec
from tracking.client import reading
from tracking.requests import find_requests


def main() -> int:
    """Run the search on the cluster that the job belongs to; the exit code is that of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--tracking-uri", required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):  # names of models and data are no folders
        return _drive(given)


def _drive(given: argparse.Namespace) -> int:
    # Ray gives its jobs the address of their cluster.
    address = os.environ.get("RAY_ADDRESS", "auto")
    home = given.storage / given.name
    if search_home.exists(home):
        # No `resume`, which would take back a stop that was asked for meanwhile.
        return exit_code(lambda: take_up(home, address, given.tracking_uri, console()))
    return exit_code(lambda: _begin(given.name, address, given.tracking_uri))


def _begin(name: str, address: str, uri: str) -> int:
    with reading(uri) as client:
        requests = find_requests(client, name)
    if not requests:
        raise RequestError(f"search {name!r}: nobody asked for it")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as file:
        file.write(dump_spec(requests[0].spec))
        file.flush()
        return run(["search", file.name, "--address", address, "--tracking-uri", uri])


if __name__ == "__main__":
    sys.exit(main())
