"""`python -m search.service.jobs.search_job NAME`: the Ray job that begins one search, or resumes it."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
from pathlib import Path

from ray.exceptions import RayError, RayTaskError

from search.command_process import complaint, exit_code
from search.driver.conclusion import conclude
from search.driver.launch import search, take_up
from search.driver.result import SearchResult
from search.ray_cluster.head_watch import EXIT_CODE
from search.service.jobs.exit_codes import AWAY, GIVEN_UP
from search.service.security.path_confinement import check_own_places, confine_stored_spec
from search.service.settings import Settings, job_settings, within
from search.storage import search_folder
from search.storage.checks import check_writable
from search.terminal import console
from spaces.errors import Away, Hopeless, RequestError, Unreachable, WorkError, one_line
from spaces.spec.sections import NAME
from spaces.spec.sources import files_of
from spaces.spec.spec import SearchSpec
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import LaunchRequest, find_requests
from tracking.mlflow_store.runs import scan_searches
from tracking.writing.outbox_file import OutboxFile


def main() -> int:
    """Run the search on the cluster of the job.

    Returns:
        The exit code of the command; but `AWAY` where an outage ended it, and `GIVEN_UP` where another job would not
        help.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    given, settings = job_settings(parser)
    os.environ[EXIT_CODE] = str(AWAY)
    # In an empty folder the name of a model or a data set on the hub is never that of a folder.
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        return exit_code(lambda: _exit_code(given.name, settings))


def _exit_code(name: str, settings: Settings) -> int:
    """Drive the search, and tell an outage, which is never final, from an error of the search.

    Models and data are read only where the operator allows it, even if the spec changed since it was checked.
    """
    try:
        with within(settings):
            code = _drive(name, settings)
    except Hopeless as error:
        print(complaint(error), file=sys.stderr)
        return GIVEN_UP
    except (Unreachable, Away, OSError) as error:
        print(complaint(error), file=sys.stderr)
        return AWAY
    except RayError as error:
        if isinstance(error, RayTaskError):  # an error of our own code in a task, not of Ray
            raise
        print(complaint(f"Ray: {one_line(error)}"), file=sys.stderr)
        return AWAY
    except Exception as error:
        if isinstance(error, RequestError) or _serves(settings.storage):
            raise
        print(complaint(f"storage {settings.storage}: is away ({one_line(error)})"), file=sys.stderr)
        return AWAY
    return code if code == 0 or _serves(settings.storage) else AWAY


def _serves(storage: Path) -> bool:
    """Tell whether the storage can be used; where it cannot, it is taken for the cause of every other failure."""
    try:
        check_writable(storage)
    except RequestError:
        return False
    return storage.is_dir()


def _drive(name: str, settings: Settings) -> int:
    if not re.fullmatch(NAME, name):
        raise RequestError(f"search {name!r}: no name of a search; allowed: letters, digits, and . _ - within")
    home, uri = settings.storage / name, settings.tracking_uri
    # Ray passes the address of the cluster to its jobs.
    address = os.environ.get("RAY_ADDRESS", "auto")
    if not home.parent.is_dir():  # its mount is gone; what is mounted there now must not be written into
        raise Away(f"storage {home.parent}: is not there")
    check_writable(home.parent)
    request, tracked = _known(name, uri)
    if request is not None and request.wanted == "stop":
        # No final end: a caller that asks for the search again is given another job.
        raise WorkError(f"search {name!r} is to stop, and was not begun")
    if search_folder.exists(home):  # not `resume`, which would remove a stop marker that was placed just now
        spec, _ = search_folder.read(home)
        check_own_places(spec, settings)
        confine_stored_spec(spec, settings)
        _check_sources(spec, begun=True)
        code = _concluded(take_up(home, address=address, tracking_uri=uri))
    elif tracked:
        raise Away(f"storage {home.parent}: search {name!r} was begun, and is not there")
    else:
        code = _begin(name, request, address, settings)
    if search_folder.is_finished(home) and (waiting := OutboxFile(home).unsent):
        raise Away(f"MLflow does not answer: {waiting} events of the finished search wait for the next driver")
    return code


def _known(name: str, uri: str) -> tuple[LaunchRequest | None, bool]:
    """Return the request of the search, if there is one, and whether MLflow has its run."""
    with reading(uri) as client:
        return next(iter(find_requests(client, name)), None), bool(scan_searches(client, name))


def _check_sources(spec: SearchSpec, *, begun: bool) -> None:
    """Check that the files which a spec names can be read, and take an outage for what it is.

    A search that has begun had its files, so a missing one is away. For one that is to begin, a missing or forbidden
    file makes a wrong request, which is left to the checks of the search itself.

    Raises:
        Away: naming the file that is away.
    """
    wrong = () if begun else (FileNotFoundError, NotADirectoryError, PermissionError)
    data = spec.data
    sources = {"train": data.train, "validation": data.validation, "chat_template": data.chat_template}
    given = [(f"data.{name}", path) for name, source in sources.items() for path in files_of(source)]
    for field, path in (("model.path", spec.model.path), *given):
        if os.path.isabs(path):
            try:
                _look_at(Path(path))
            except wrong:
                continue
            except OSError as error:
                raise Away(f"{field} = {path}: {error.strerror}") from None


def _look_at(path: Path) -> None:
    """Read one byte, or one entry of a folder: on a failing disk a file may still have a name."""
    if path.is_dir():
        next(path.iterdir(), None)
        return
    with path.open("rb") as file:
        file.read(1)


def _begin(name: str, request: LaunchRequest | None, address: str, settings: Settings) -> int:
    if request is None:
        raise RequestError(f"search {name!r}: nobody asked for it")
    spec = confine_stored_spec(request.readable_spec(), settings)
    if spec.name != name:
        raise RequestError(f"search {name!r}: its spec has name = {spec.name}; allowed: the same name")
    _check_sources(spec, begun=False)
    return _concluded(search(spec, address=address, tracking_uri=settings.tracking_uri))


def _concluded(result: SearchResult) -> int:
    return conclude(result.summary, result.spec, console())


if __name__ == "__main__":
    sys.exit(main())
