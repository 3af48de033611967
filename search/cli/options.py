"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spaces.spec import defaults

Spec = Annotated[Path, typer.Argument(help="A search spec in YAML.")]
Name = Annotated[str, typer.Argument(help="Name of a search.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="a.b=value: set a field of the spec.")]
TrackingUri = Annotated[str | None, typer.Option("--tracking-uri", help="The address of MLflow.")]
Storage = Annotated[Path, typer.Option("--storage", help="Folder in which searches keep their runs.")]
Address = Annotated[str | None, typer.Option("--address", help="A Ray cluster: HOST:PORT or auto.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Server = Annotated[
    str | None, typer.Option("--server", envvar="PARETUNE_SERVER", help="A paretune service: http://HOST:PORT.")
]
File = Annotated[Path | None, typer.Option(help="Also write it to this file.")]

DEFAULT_STORAGE = Path(defaults.DEFAULT_STORAGE)
