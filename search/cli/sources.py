"""The sources that reading commands read from: MLflow, or a service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from search.client import Client
from tracking import queries
from tracking.documents.schemas import Axis, FrontDocument, TrialsDocument
from tracking.mlflow_store.uri import reading_uri
from tracking.queries import front_document, trials_document


class Source(Protocol):
    """Fronts and trials of searches."""

    def front(self, name: str, *, confirmed: bool = False, axis: Axis = "trainable") -> FrontDocument:
        """The front of a search."""

    def trials(self, name: str) -> TrialsDocument:
        """Everything that a search trained."""


@dataclass(frozen=True)
class Mlflow:
    """The MLflow at a URI."""

    uri: str

    def front(self, name: str, *, confirmed: bool = False, axis: Axis = "trainable") -> FrontDocument:
        return front_document(self.uri, name, confirmed=confirmed, axis=axis)

    def trials(self, name: str) -> TrialsDocument:
        return trials_document(self.uri, name)


def front_and_trials(source: Source, name: str, *, confirmed: bool, axis: Axis) -> tuple[FrontDocument, TrialsDocument]:
    """Return the front and everything that a search trained; what cannot be read in MLflow is named once."""
    if isinstance(source, Mlflow):
        return queries.front_and_trials(source.uri, name, confirmed=confirmed, axis=axis)
    return source.front(name, confirmed=confirmed, axis=axis), source.trials(name)


def source(server: str | None, tracking_uri: str | None, storage: Path) -> Source:
    """Return the source that the options of a command name.

    Raises:
        RequestError: when nothing can be read there.
    """
    return Client(server) if server is not None else Mlflow(reading_uri(tracking_uri, storage))
