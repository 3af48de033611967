"""The command line. Commands import their work when they run, so that help and `front` load neither torch nor Ray."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer

from search.cli import service_commands
from search.cli.options import (
    DEFAULT_STORAGE,
    Address,
    File,
    Json,
    Name,
    Overrides,
    Server,
    Spec,
    Storage,
    TrackingUri,
)
from search.command_process import exit_code
from search.terminal import announce, console

app = typer.Typer(
    name="paretune",
    help="Which adaptation method, with which settings, gives the best quality for every number of parameters?",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_LOADING = "loading torch, transformers and Ray"


def main() -> None:
    """Run the command of this process, and end it with 0: done, 1: the work failed, or 2: the request was wrong."""
    # Deprecation warnings between libraries; users cannot act on them.
    warnings.simplefilter("ignore", FutureWarning)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command, and return its exit code; without arguments, print the help."""
    return exit_code(lambda: app(arguments or ["--help"], prog_name="paretune", standalone_mode=False))


@app.command()
def search(spec: Spec, overrides: Overrides = None, address: Address = None, tracking_uri: TrackingUri = None) -> int:
    """Run a search, here or on a Ray cluster; live progress; ends with the front."""
    from spaces.spec.spec import load_spec

    loaded = load_spec(spec, overrides or [])  # so that a wrong field is reported before torch and Ray are loaded
    terminal = console()
    announce(terminal, _LOADING)
    from search.driver import launch
    from search.driver.conclusion import conclude

    result = launch.search(loaded, address=address, tracking_uri=tracking_uri, console=terminal)
    return conclude(result.summary, result.spec, terminal)


@app.command()
def resume(
    name: Name,
    storage: Storage = DEFAULT_STORAGE,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    server: Server = None,
) -> int:
    """Go on after a crash, a kill or a reboot; finished trials are not run again."""
    if server is not None:
        from search.cli import remote

        return remote.resume(name, server)
    terminal = console()
    announce(terminal, _LOADING)
    from search.driver import launch
    from search.driver.conclusion import conclude

    result = launch.resume(name, storage=storage, address=address, tracking_uri=tracking_uri, console=terminal)
    return conclude(result.summary, result.spec, terminal)


@app.command()
def front(
    name: Name,
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Only confirmed points, by confirmed quality.")
    ] = False,
    axis: Annotated[Literal["trainable", "stored"], typer.Option(help="The parameters to count.")] = "trainable",
    html: File = None,
    png: File = None,
    csv: File = None,
    as_json: Json = False,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
    server: Server = None,
) -> None:
    """The front of a search, from MLflow alone."""
    from search.cli import show, sources

    source = sources.source(server, tracking_uri, storage)
    show.front(source, name, confirmed, axis, html, png, csv, as_json, console())


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(help="Names of searches.")],
    confirmed: Annotated[
        bool, typer.Option("--confirmed", help="Only confirmed points, by confirmed quality.")
    ] = False,
    html: File = None,
    png: File = None,
    as_json: Json = False,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
) -> None:
    """Fronts side by side, under one common reference."""
    from search.cli import show
    from tracking.mlflow_store.uri import reading_uri

    show.compare(reading_uri(tracking_uri, storage), names, confirmed, html, png, as_json, console())


@app.command()
def trials(
    name: Name,
    as_json: Json = False,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
    server: Server = None,
) -> None:
    """Everything that a search trained."""
    from search.cli import show, sources

    show.trials(sources.source(server, tracking_uri, storage), name, as_json, console())


@app.command()
def searches(as_json: Json = False, storage: Storage = DEFAULT_STORAGE, tracking_uri: TrackingUri = None) -> None:
    """Every search."""
    from search.cli import show
    from tracking.mlflow_store.uri import reading_uri

    show.searches(reading_uri(tracking_uri, storage), as_json, console())


@app.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="A new folder.")],
    max_parameters: Annotated[
        int | None, typer.Option(help="The best with at most so many trainable parameters.")
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="The best quality (the default).")] = False,
    knee: Annotated[bool, typer.Option("--knee", help="The point of best trade.")] = False,
    trial: Annotated[str | None, typer.Option(help="This trial.")] = None,
    form: Annotated[
        Literal["peft", "merged", "lora", "stock"],
        typer.Option(
            "--format",
            help="peft: the adapter. merged: the whole model. stock: equal, for PEFT without paretune. "
            "lora: a low-rank stand-in, with its loss of quality.",
        ),
    ] = "peft",
    rank: Annotated[
        float | None,
        typer.Option(help="Of --format lora (8); below 1: the part of the squared singular values to keep."),
    ] = None,
    verification_rows: Annotated[
        bool,
        typer.Option(
            "--verification-rows/--no-verification-rows",
            help="Keep the few rows of the validation split that it was verified with.",
        ),
    ] = True,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
    server: Server = None,
) -> None:
    """Write the chosen adapter as a folder that needs nothing else, and verify it."""
    from search import exporting
    from search.cli.export import export_from

    if server is not None:
        choice = exporting.Choice(max_parameters, best, knee, trial)
        export_from(server, name, out, choice, form, rank, verification_rows)
        return
    exported = exporting.export(
        name,
        out,
        max_parameters=max_parameters,
        best=best,
        knee=knee,
        trial=trial,
        format=form,
        rank=rank,
        verification_rows=verification_rows,
        storage=storage,
        tracking_uri=tracking_uri,
    )
    print(exported)


@app.command()
def count(
    spec: Spec,
    method: Annotated[str, typer.Option(help="Name of a method.")],
    settings: Annotated[list[str] | None, typer.Option("--set", help="knob=value: set a knob of the method.")] = None,
    as_json: Json = False,
) -> None:
    """Trainable and stored parameters and bytes of a configuration, exactly, without training."""
    from search.cli import check

    check.count(spec, method, settings or [], as_json, console())


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="Name of a method.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Try their capabilities anew.")] = False,
    as_json: Json = False,
) -> None:
    """Methods, those searched by default marked, their knobs with ranges, and their capabilities."""
    from search.cli import methods

    methods.methods(name, probe, as_json, console())


@app.command()
def validate(spec: Spec, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check a spec with its model and its data, and describe the search."""
    from search.cli import check

    check.validate(spec, overrides or [], as_json, console())


@app.command()
def schema() -> None:
    """The JSON schema of a spec."""
    from search.cli import methods

    methods.schema()


@app.command()
def doctor(
    name: Annotated[str | None, typer.Argument(help="Name of a search; left out: check this installation.")] = None,
    as_json: Json = False,
    storage: Storage = DEFAULT_STORAGE,
    tracking_uri: TrackingUri = None,
) -> int:
    """Check the environment, or that the records of a search agree."""
    from search.cli import doctor

    return doctor.doctor(name, storage, tracking_uri, as_json, console())


app.add_typer(service_commands.app)


if __name__ == "__main__":
    main()
