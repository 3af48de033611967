"""`python -m search.service.driver NAME`: the job of one search, which begins it or takes it up, wherever it stands."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from search import home as search_home
from search.cli import run
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
    # Ray gives its jobs the address of their cluster.
    common = ["--address", os.environ.get("RAY_ADDRESS", "auto"), "--tracking-uri", given.tracking_uri]
    if search_home.exists(given.storage / given.name):
        return run(["resume", given.name, "--storage", str(given.storage), *common])
    with reading(given.tracking_uri) as client:
        requests = find_requests(client, given.name)
    if not requests:
        raise RequestError(f"search {given.name!r}: nobody asked for it")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".yaml") as file:
        file.write(dump_spec(requests[0].spec))
        file.flush()
        return run(["search", file.name, *common])


if __name__ == "__main__":
    sys.exit(main())
