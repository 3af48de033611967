"""The commands of the service, and of searches that run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from search.cli.options import (
    DEFAULT_STORAGE,
    Address,
    Json,
    Name,
    Overrides,
    Server,
    Spec,
    Storage,
    TrackingUri,
)
from search.terminal import console

app = typer.Typer()


@app.command()
def launch(
    spec: Spec,
    overrides: Overrides = None,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    server: Server = None,
) -> None:
    """Start a search in a service or in a process of its own, and return."""
    from search.cli import remote

    remote.launch(spec, overrides or [], server, address, tracking_uri)


@app.command()
def status(
    name: Name,
    as_json: Json = False,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
    server: Server = None,
) -> None:
    """The state of a search: its trials, its best points, and the time that is left."""
    from search.cli import remote

    remote.status(name, server, tracking_uri, storage, as_json, console())


@app.command()
def stop(name: Name, storage: Storage = DEFAULT_STORAGE, server: Server = None) -> None:
    """Ask a search to end cleanly, wherever it runs; it can be resumed."""
    from search.cli import remote

    remote.stop(name, server, storage)


@app.command()
def serve(
    host: Annotated[str, typer.Option(envvar="PARETUNE_HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PARETUNE_PORT", min=0, max=65535)] = 8080,
    storage: Annotated[
        Path, typer.Option(envvar="PARETUNE_STORAGE", help="Folder of searches, the same on every node.")
    ] = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
    ray_jobs: Annotated[
        str, typer.Option(envvar="PARETUNE_RAY_JOBS", help="Ray's dashboard, where jobs are submitted.")
    ] = "http://127.0.0.1:8265",
    study_storage: Annotated[
        str | None, typer.Option(envvar="PARETUNE_STUDY_STORAGE", help="Database of Optuna's studies.")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(envvar="PARETUNE_TOKENS", help="File that `paretune token` wrote.")
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option(envvar="PARETUNE_ROOTS", help="A folder from which specs may read; may be given several times."),
    ] = None,
    max_running: Annotated[
        int, typer.Option(envvar="PARETUNE_MAX_RUNNING", min=1, help="Most searches that run at once.")
    ] = 1,
    max_queued: Annotated[
        int, typer.Option(envvar="PARETUNE_MAX_QUEUED", min=0, help="Most searches that wait, and most exports.")
    ] = 100,
    max_exports: Annotated[
        int,
        typer.Option(
            envvar="PARETUNE_MAX_EXPORTS", min=1, help="Most exports that run at once; each holds the base twice."
        ),
    ] = 1,
    max_body: Annotated[
        int, typer.Option(envvar="PARETUNE_MAX_BODY", min=1, help="Most bytes of a request.")
    ] = 1_000_000,
    requests_per_minute: Annotated[
        int,
        typer.Option(
            envvar="PARETUNE_REQUESTS_PER_MINUTE", min=1, help="Most requests a minute of one token, or of one address."
        ),
    ] = 600,
    request_seconds: Annotated[
        float,
        typer.Option(
            envvar="PARETUNE_REQUEST_SECONDS", min=1, help="Seconds within which a whole request must arrive."
        ),
    ] = 30.0,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            envvar="PARETUNE_PROXIES",
            help="Address or network of a proxy in front, whose X-Forwarded-For is believed; may be repeated.",
        ),
    ] = None,
    metric_module: Annotated[
        list[str] | None,
        typer.Option(
            envvar="PARETUNE_METRIC_MODULES",
            help="An installed module whose functions specs may name as objective.metric; may be repeated.",
        ),
    ] = None,
) -> None:
    """Serve searches over HTTP, with a page, on a Ray cluster."""
    from search.cli import serve
    from search.service.settings import Settings
    from tracking.mlflow_store.uri import resolve_uri

    storage = storage.expanduser().absolute()
    settings = Settings(
        storage=storage,
        tracking_uri=resolve_uri(tracking_uri, None, storage),
        ray_jobs=ray_jobs,
        study_storage=study_storage,
        tokens=tokens,
        roots=tuple(one.expanduser().absolute() for one in root or ()),
        max_running=max_running,
        max_queued=max_queued,
        max_exports=max_exports,
        max_body=max_body,
        requests_per_minute=requests_per_minute,
        request_seconds=request_seconds,
        proxies=tuple(proxy or ()),
        metric_modules=tuple(metric_module or ()),
    )
    serve.serve(host, port, settings)


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="The holder of the token.")],
    role: Annotated[Literal["read", "run"], typer.Option(help="read: look on; run: also launch, stop and export.")],
    tokens: Annotated[Path, typer.Option(envvar="PARETUNE_TOKENS", help="File of hashed tokens.")],
) -> None:
    """Make a token for the service and print it; the file keeps only its hash."""
    from search.cli import serve

    serve.token(name, role, tokens)
