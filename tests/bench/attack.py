"""`python -m tests.bench.attack`: what one client can do to the others (`make bench-attack`).

In front of a search in MLflow, written by its own writer and trained by nobody, stands a real `paretune serve`; Ray is
away. One client lists searches four times a second, as somebody does who looks on, while another one attacks, as fast
and as often as the service lets it. All of it is on the loopback of one machine, bounded in number and time. Writes
attack.json: what the attacker was answered, how long the other one waited, and what memory the service took.

`--checkout` measures another version of the service, such as that of a git worktree, with this client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import requests
from rich.console import Console
from rich.table import Table

from search.service.security.tokens import Role, make_token
from spaces.spec.spec import parse_spec
from tests.bench.load import NAME, write
from tests.conftest import Workplace, make_tiny_data, make_tiny_model, minilm_folder
from tests.search.service.surroundings import answers, free_port
from tracking.mlflow_store.client import connect, reading
from tracking.mlflow_store.launch_requests import add_request, find_requests, want_stop

PACKAGES = ("fastapi", "mlflow", "pydantic", "uvicorn")
PAUSE = 0.25
PATIENCE = aiohttp.ClientTimeout(total=400)
DEEP = 10**7
STOPPED, CHARACTERS = 40, 190_000


@dataclass(frozen=True)
class Target:
    """The service, tokens for it, and specs to be checked."""

    url: str
    tokens: dict[str, str]
    process: psutil.Process
    spec: dict[str, Any]
    deep: dict[str, Any]


@dataclass
class Seen:
    """What the attacker was answered, what the other client waited, and what the service took."""

    answers: Counter[str] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    service_bytes: int = 0
    check_bytes: int = 0
    longest: float = 0.0


Attack = Callable[[Target, aiohttp.ClientSession, Seen], Awaitable[None]]


async def ask(session: aiohttp.ClientSession, target: Target, seen: Seen, verb: str, path: str, **more: Any) -> None:
    """One request of the attacker."""
    began = time.perf_counter()
    try:
        async with session.request(verb, f"{target.url}{path}", **more) as answer:
            await answer.read()
            seen.answers[str(answer.status)] += 1
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.answers[type(error).__name__] += 1
    seen.longest = max(seen.longest, time.perf_counter() - began)


async def nothing(target: Target, session: aiohttp.ClientSession, seen: Seen) -> None:
    """Nobody attacks."""
    await asyncio.sleep(20)


async def validates(target: Target, session: aiohttp.ClientSession, seen: Seen) -> None:
    """Nine checks a second for half a minute."""
    asked = []
    for _ in range(9 * 30):
        asked.append(asyncio.create_task(ask(session, target, seen, "POST", "/v1/validate", json=target.spec)))
        await asyncio.sleep(1 / 9)
    await asyncio.gather(*asked)


async def pages(target: Target, session: aiohttp.ClientSession, seen: Seen) -> None:
    """Forty fronts as pages, all at once."""
    path = f"/v1/searches/{NAME}/front?format=html"
    await asyncio.gather(*(ask(session, target, seen, "GET", path) for _ in range(40)))


async def pictures(target: Target, session: aiohttp.ClientSession, seen: Seen) -> None:
    """Three hundred fronts as pictures, forty at a time."""
    path, turns = f"/v1/searches/{NAME}/front?format=png", asyncio.Semaphore(40)

    async def one() -> None:
        async with turns:
            await ask(session, target, seen, "GET", path)

    await asyncio.gather(*(one() for _ in range(300)))


async def slow_readers(target: Target, session: aiohttp.ClientSession, seen: Seen) -> None:
    """A hundred fronts as pages, none of which is read for ten seconds."""
    path = f"/v1/searches/{NAME}/front?format=html"

    async def one() -> None:
        try:
            async with session.get(f"{target.url}{path}") as answer:
                await asyncio.sleep(10)
                seen.answers[str(answer.status)] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            seen.answers[type(error).__name__] += 1

    await asyncio.gather(*(one() for _ in range(100)))


async def layers(target: Target, session: aiohttp.ClientSession, seen: Seen) -> None:
    """A check of a model of ten million layers."""
    await ask(session, target, seen, "POST", "/v1/validate", json=target.deep)


ATTACKS: dict[str, tuple[str, Role, Attack]] = {
    "quiet": ("nothing", "read", nothing),
    "validates": ("9 validates a second, 30 s", "read", validates),
    "validates-run": ("the same with a token that may run", "run", validates),
    "pages": ("40 front?format=html at once", "read", pages),
    "pictures": ("300 front?format=png, 40 at a time", "read", pictures),
    "slow": ("100 front?format=html, not read for 10 s", "read", slow_readers),
    "layers": ("validate of 10,000,000 layers", "run", layers),
    "specs": (f"{STOPPED} stopped specs of {CHARACTERS:,} characters", "read", nothing),
}


@contextlib.contextmanager
def service(folder: Path, uri: str, checkout: Path) -> Iterator[Target]:
    """A service of the code of that checkout, with the limits that it has unless told."""
    port, tokens = free_port(), folder / f"tokens-{time.monotonic_ns()}"
    made = {role: make_token(tokens, role, role) for role in ("read", "run")}  # type: ignore[arg-type]
    made["other"] = make_token(tokens, "other", "read")
    place = Workplace(folder, folder / "model", folder / "data")
    places = ["--storage", str(folder / "storage"), "--tracking-uri", uri, "--tokens", str(tokens)]
    roots = ["--root", str(folder)]
    ray = ["--ray-jobs", f"http://127.0.0.1:{free_port()}"]
    log = folder / f"service-{port}.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "search.cli", "serve", "--port", str(port), *places, *roots, *ray],
            cwd=checkout,
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        while not answers(f"{url}/healthz"):
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        answered = f"{url}/v1/searches"  # the first one has the service import MLflow's client
        requests.get(answered, headers={"Authorization": f"Bearer {made['read']}"}, timeout=60).raise_for_status()
        specs = [_values(place, name, place.folder / name) for name in ("model", "deep")]
        yield Target(url, made, psutil.Process(process.pid), *specs)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
        process.kill()
        process.wait(60)


def _values(place: Workplace, name: str, model: Path) -> dict[str, Any]:
    import yaml

    values: dict[str, Any] = yaml.safe_load(place.spec(name, model={"path": str(model)}).read_text())
    return values


@contextlib.asynccontextmanager
async def looking_on(target: Target, seen: Seen) -> AsyncIterator[None]:
    """Meanwhile another client lists searches, and the service's memory is watched."""
    headers = {"Authorization": f"Bearer {target.tokens['other']}"}

    async def listing(session: aiohttp.ClientSession) -> None:
        began = time.perf_counter()
        try:
            async with session.get(f"{target.url}/v1/searches") as answer:
                await answer.read()
                if answer.status != 200:
                    seen.failed[str(answer.status)] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            seen.failed[type(error).__name__] += 1
        seen.waited.append(time.perf_counter() - began)

    async def look() -> None:
        connections = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(connector=connections, timeout=PATIENCE, headers=headers) as session,
            asyncio.TaskGroup() as asked,
        ):
            while not over.is_set():
                asked.create_task(listing(session))
                await asyncio.sleep(PAUSE)

    async def watch() -> None:
        while not over.is_set():
            with contextlib.suppress(psutil.Error):
                seen.service_bytes = max(seen.service_bytes, target.process.memory_info().rss)
                children = target.process.children(recursive=True)
                seen.check_bytes = max(seen.check_bytes, sum(one.memory_info().rss for one in children))
            await asyncio.sleep(0.1)

    over = asyncio.Event()
    tasks = [asyncio.create_task(look()), asyncio.create_task(watch())]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*tasks)


async def attacked(target: Target, name: str) -> Seen:
    """What came of an attack."""
    _, role, attack = ATTACKS[name]
    seen = Seen()
    headers = {"Authorization": f"Bearer {target.tokens[role]}"}
    connections = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connections, timeout=PATIENCE, headers=headers) as session,
        looking_on(target, seen),
    ):
        await asyncio.sleep(2)
        await attack(target, session, seen)
        await asyncio.sleep(2)
    return seen


def lay_specs(uri: str, folder: Path) -> None:
    """Requests that were stopped before they began, as large as one token could make them."""
    with reading(uri) as client:
        known = {one.name for one in find_requests(client)}
    client = connect(uri)
    for number in range(STOPPED):
        name = f"stopped-{number}"
        if name not in known:
            # A text of a spec may have 10,000 characters, so that a long one has many.
            long = [{"method": "m" * 10_000}] * (CHARACTERS // 10_000)
            values = {"name": name, "model": {"path": "m"}, "data": {"train": "t.csv"}, "search": {"start_with": long}}
            spec = parse_spec(values | {"budget": {"parameters": 9}, "storage": str(folder / "storage")})
            want_stop(client, add_request(client, spec)[0])


def row_of(name: str, seen: Seen, load: float) -> dict[str, Any]:
    """A row of the document; `load`: of the machine, before the attack began."""
    cuts = statistics.quantiles(seen.waited, n=100, method="inclusive")
    return {
        "attack": ATTACKS[name][0],
        "token": ATTACKS[name][1],
        "answers": dict(seen.answers),
        "longest_answer_seconds": seen.longest,
        "others": {
            "requests": len(seen.waited),
            "failed": dict(seen.failed),
            "milliseconds": {f"p{cut}": 1_000 * cuts[cut - 1] for cut in (50, 95, 99)},
        },
        "service_megabytes": seen.service_bytes / 1e6,
        "check_megabytes": seen.check_bytes / 1e6,
        "load_before": load,
    }


def prepare(folder: Path, trials: int) -> str:
    """Everything that the service stands on; gives the tracking URI."""
    for name in ("storage", "data"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    make_tiny_data(folder / "data")
    model = make_tiny_model(folder / "model", minilm_folder())
    deep = folder / "deep"
    deep.mkdir(exist_ok=True)
    for file in model.iterdir():
        (deep / file.name).write_bytes(file.read_bytes())
    config = json.loads((deep / "config.json").read_text())
    (deep / "config.json").write_text(json.dumps(config | {"num_hidden_layers": DEEP}))
    uri = f"sqlite:///{folder}/storage/mlflow.db"
    write(uri, folder / "storage", trials)
    return uri


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).resolve().parent.parent.parent)
    parser.add_argument("--folder", type=Path, help="Where the search is kept, and taken up again; else nowhere.")
    parser.add_argument("--out", type=Path, default=Path("attack.json"))
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        uri = prepare(folder, given.trials)
        for name in given.only:
            if name == "specs":
                lay_specs(uri, folder)
            load = os.getloadavg()[0]
            with service(folder, uri, given.checkout.resolve()) as target:
                rows.append(row_of(name, asyncio.run(attacked(target, name)), load))
            print(json.dumps(rows[-1]), flush=True)
    table = Table("attack", "answers", "others p50 ms", "p95 ms", "p99 ms", "service MB", "checks MB")
    for row in rows:
        times = [f"{row['others']['milliseconds'][cut]:,.0f}" for cut in ("p50", "p95", "p99")]
        said = ", ".join(f"{count} × {answer}" for answer, count in row["answers"].items())
        sizes = (f"{row['service_megabytes']:,.0f}", f"{row['check_megabytes']:,.0f}")
        table.add_row(row["attack"], said, *times, *sizes)
    Console(width=140).print(table)
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), cwd=given.checkout, capture_output=True, text=True, check=True
    ).stdout.strip()
    facts = {"commit": commit, "machine": platform.machine(), "cores": os.cpu_count()}
    facts |= {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    document = {"facts": facts, "trials": given.trials, "rows": rows}
    given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
