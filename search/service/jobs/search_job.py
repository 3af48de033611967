"""`python -m search.service.jobs.search_job NAME`: the job of one search, begun or taken up."""

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
from search.service.dispatch.schedule import AWAY, GIVEN_UP
from search.service.security.path_confinement import check_places, confined_again
from search.service.settings import Settings, job_settings
from search.storage import search_folder
from search.storage.checks import check_storage
from search.terminal import console
from spaces.errors import Away, Hopeless, RequestError, Unreachable, WorkError
from spaces.spec.sections import NAME
from spaces.spec.spec import SearchSpec
from tracking.mlflow_store.client import one_line, reading
from tracking.mlflow_store.launch_requests import Request, find_requests
from tracking.mlflow_store.runs import scan_searches
from tracking.writing.outbox_file import Spool
from trainables.allowed_folders import reading_only


def main() -> int:
    """Run the search on the cluster that the job belongs to.

    The exit code is that of the command, but `AWAY` where something failed that is no matter of the search, and
    `GIVEN_UP` of a search that another job would not help.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    given, settings = job_settings(parser)
    os.environ[EXIT_CODE] = str(AWAY)
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):  # names of models and data are no folders
        return exit_code(lambda: _attended(given.name, settings))


def _attended(name: str, settings: Settings) -> int:
    """Drive, and tell an outage from what is wrong with the search: nothing of it is final.

    Models and data are read where the operator allows it, whatever a spec has become since it was checked.
    """
    try:
        with reading_only(settings.readable):
            code = _drive(name, settings)
    except Hopeless as error:
        print(complaint(error), file=sys.stderr)
        return GIVEN_UP
    except (Unreachable, Away, OSError) as error:
        print(complaint(error), file=sys.stderr)
        return AWAY
    except RayError as error:
        if isinstance(error, RayTaskError):  # raised by what ran there
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
    """Whether the storage is there: where it is not, whatever failed did so for that reason."""
    try:
        check_storage(storage)
    except RequestError:
        return False
    return storage.is_dir()


def _drive(name: str, settings: Settings) -> int:
    if not re.fullmatch(NAME, name):
        raise RequestError(f"search {name!r}: no name of a search; allowed: letters, digits, and . _ - within")
    home, uri = settings.storage / name, settings.tracking_uri
    # Ray gives its jobs the address of their cluster.
    address = os.environ.get("RAY_ADDRESS", "auto")
    if not home.parent.is_dir():  # where it was mounted another folder may be, into which nobody shall write
        raise Away(f"storage {home.parent}: is not there")
    check_storage(home.parent)
    request, tracked = _known(name, uri)
    if request is not None and request.wanted == "stop":
        # Nothing that ended: who wants the search again meanwhile is given another job.
        raise WorkError(f"search {name!r} is to stop, and was not begun")
    if search_folder.exists(home):  # no `resume`, which would take back a stop that is asked for now
        spec, _ = search_folder.read(home)
        check_places(spec, settings)
        confined_again(spec, settings)
        _check_sources(spec, begun=True)
        code = _concluded(take_up(home, address=address, tracking_uri=uri))
    elif tracked:
        raise Away(f"storage {home.parent}: search {name!r} was begun, and is not there")
    else:
        code = _begin(name, request, address, settings)
    if search_folder.is_finished(home) and (waiting := Spool(home).unsent):
        raise Away(f"MLflow does not answer: {waiting} events of the finished search wait for the next driver")
    return code


def _known(name: str, uri: str) -> tuple[Request | None, bool]:
    """What was asked for, and whether MLflow knows the search already."""
    with reading(uri) as client:
        return next(iter(find_requests(client, name)), None), bool(scan_searches(client, name))


def _check_sources(spec: SearchSpec, *, begun: bool) -> None:
    """See that the files which a spec names can be read, as far as that is no matter of the spec.

    What a search began with was there, so that whatever is missing is away. Of one that is to begin, a file that is not
    there is a wrong request, and so is one that may not be read.

    Raises:
        Away: naming what is not.
    """
    wrong = () if begun else (FileNotFoundError, NotADirectoryError, PermissionError)
    data = spec.data
    given = {"model.path": spec.model.path, "data.train": data.train, "data.validation": data.validation}
    for field, path in given.items():
        if isinstance(path, str) and os.path.isabs(path):
            try:
                _look_at(Path(path))
            except wrong:
                continue
            except OSError as error:
                raise Away(f"{field} = {path}: {error.strerror}") from None


def _look_at(path: Path) -> None:
    """Read the least of it; a file of a disk that fails may still have a name."""
    if path.is_dir():
        next(path.iterdir(), None)
        return
    with path.open("rb") as file:
        file.read(1)


def _begin(name: str, request: Request | None, address: str, settings: Settings) -> int:
    if request is None:
        raise RequestError(f"search {name!r}: nobody asked for it")
    spec = confined_again(request.readable(), settings)
    if spec.name != name:
        raise RequestError(f"search {name!r}: its spec has name = {spec.name}; allowed: the same name")
    _check_sources(spec, begun=False)
    return _concluded(search(spec, address=address, tracking_uri=settings.tracking_uri))


def _concluded(result: SearchResult) -> int:
    return conclude(result.summary, result.spec, console())


if __name__ == "__main__":
    sys.exit(main())
