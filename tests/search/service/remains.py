"""Everything that a deployment leaves where others may read it: databases, files, logs, command lines, answers."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import requests
from sqlalchemy import create_engine, inspect, text

from tests.search.service.surroundings import Running
from tests.search.service.topology import STUDIES, TRACKING, Topology

ROUTES = ("", "/spec", "/front", "/front?format=html", "/front?format=csv", "/trials", "/exports")


def remains(deployed: Topology, name: str) -> Iterator[tuple[str, bytes]]:
    """Where something stands, and what; of answers those about the search `name`. Environments are left out."""
    service = deployed.service
    for database in (TRACKING, STUDIES):
        yield from tables(database, deployed.database.url(database, "postgresql+psycopg"))
    for folder in (service.place.folder, ray_folder(service)):
        yield from written(folder)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            yield f"command of {process.pid}", " ".join(process.cmdline()).encode()
    ray = service.arguments[service.arguments.index("--ray-jobs") + 1]
    yield "jobs of Ray", requests.get(f"{ray}/api/jobs/", timeout=60).content
    for path in ("/", "/openapi.json", "/metrics", "/v1/searches", *(f"/v1/searches/{name}{one}" for one in ROUTES)):
        answer = service.get(path)
        assert answer.ok, path
        yield f"GET {path}", answer.content + str(answer.headers).encode()


def ray_folder(service: Running) -> Path:
    """Where the nodes of Ray write, logs of jobs among it."""
    option = "--temp-dir="
    return Path(next(one.removeprefix(option) for one in service.head if one.startswith(option)))


def tables(database: str, url: str) -> Iterator[tuple[str, bytes]]:
    """Every row of a database."""
    engine = create_engine(url)
    with engine.connect() as connection:
        for table in inspect(engine).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):
                yield f"table {table} of {database}", str(tuple(row)).encode()
    engine.dispose()


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and what is packed in it."""
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # it was there a moment ago
            if path.is_file():  # no socket, which nobody answers
                yield str(path), path.read_bytes()
                if zipfile.is_zipfile(path):
                    with zipfile.ZipFile(path) as packed:
                        yield from ((f"{path}: {member}", packed.read(member)) for member in packed.namelist())
