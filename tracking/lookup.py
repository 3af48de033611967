"""Searches by name: fronts, trials and comparisons, from MLflow alone."""

from __future__ import annotations

from pathlib import Path

from spaces.errors import RequestError
from spaces.spec.defaults import DEFAULT_STORAGE
from tracking.documents.schemas import Axis, ComparisonDocument, FrontDocument, SearchesDocument, TrialsDocument
from tracking.mlflow_store.uri import reading_uri
from tracking.queries import comparison, front_document, searches_document, trials_document


def front(
    name: str,
    *,
    confirmed: bool = False,
    axis: Axis = "trainable",
    storage: str | Path = DEFAULT_STORAGE,
    tracking_uri: str | None = None,
) -> FrontDocument:
    """Return the front of a search, its best point and its knee.

    Args:
        confirmed: take only points that were confirmed, and compare them by their confirmed quality.
        axis: the count that quality is traded for.
        storage: the folder in which searches keep their runs.
        tracking_uri: MLflow's address; by default that of the environment, else the SQLite file in `storage`.

    Raises:
        RequestError: when there is no such search, or no MLflow.
        WorkError: when MLflow fails.

    Example:
        >>> front("reviews").to_pandas()  # doctest: +SKIP
    """
    return front_document(reading_uri(tracking_uri, Path(storage)), name, confirmed=confirmed, axis=axis)


def trials(name: str, *, storage: str | Path = DEFAULT_STORAGE, tracking_uri: str | None = None) -> TrialsDocument:
    """Return everything that a search trained.

    Args:
        storage, tracking_uri: as for `front`.

    Raises:
        RequestError: when there is no such search, or no MLflow.
        WorkError: when MLflow fails.
    """
    return trials_document(reading_uri(tracking_uri, Path(storage)), name)


def searches(*, storage: str | Path = DEFAULT_STORAGE, tracking_uri: str | None = None) -> SearchesDocument:
    """Return every search, newest first.

    Args:
        storage, tracking_uri: as for `front`.

    Raises:
        RequestError: when there is no MLflow.
        WorkError: when MLflow fails.
    """
    return searches_document(reading_uri(tracking_uri, Path(storage)))


def compare(
    *names: str,
    confirmed: bool = False,
    storage: str | Path = DEFAULT_STORAGE,
    tracking_uri: str | None = None,
) -> ComparisonDocument:
    """Return the fronts of two searches or more side by side, under one common reference.

    Args:
        confirmed: compare points by their confirmed quality.
        storage, tracking_uri: as for `front`.

    Raises:
        RequestError: for fewer than two searches, one that does not exist, or metrics that differ.
        WorkError: when MLflow fails.
    """
    check_names(names)
    document, _ = comparison(reading_uri(tracking_uri, Path(storage)), names, confirmed=confirmed)
    return document


def check_names(names: tuple[str, ...]) -> None:
    """Refuse fewer than two different searches.

    Raises:
        RequestError: when there are.
    """
    if len(set(names)) < 2:
        raise RequestError(f"compare {' '.join(names)}: allowed: two different searches or more")
