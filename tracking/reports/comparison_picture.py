"""The picture of a comparison: every point by its search, and the front of all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tracking.documents.schemas import ComparisonDocument, FrontDocument, FrontPoint, TrialEntry, TrialsDocument
from tracking.reports.comparison import OwnedPoint, owned_points
from tracking.reports.figure import Picture, compose


def compose_comparison(comparison: ComparisonDocument, fronts: Sequence[FrontDocument], *, confirmed: bool) -> Picture:
    """Return the picture of a comparison.

    It is that of one search, in which the name of a point's search replaces the method.

    Args:
        comparison: what `compare` made of `fronts`, with the same `confirmed`.
        confirmed: show points by their confirmed quality.
    """
    owned = {(search, point.trial): (search, point) for search, point in owned_points(fronts, confirmed=confirmed)}
    leading = [owned[point.search, point.trial] for point in comparison.front]
    together = fronts[0].model_copy(
        update={
            "budget": comparison.budget,
            "reference": comparison.reference,
            "front": tuple(_by_search(*one) for one in leading),
        }
    )
    picture = compose(together, _as_trials(fronts[0].search, list(owned.values())), confirmed=False, axis="trainable")
    areas = (f"{one.search} {one.hypervolume:.3f}" for one in comparison.searches if one.hypervolume is not None)
    return dataclasses.replace(
        picture,
        title=" and ".join(one.search for one in comparison.searches),
        subtitle=f"hypervolume over the common range: {', '.join(areas)}",
        legend="search",
        knee=None,
    )


def _as_trials(search: str, owned: Sequence[OwnedPoint]) -> TrialsDocument:
    """Return all points as the finished trials of one search."""
    fields = set(TrialEntry.model_fields)
    entries = (_by_search(*one).model_dump(include=fields) for one in owned)
    return TrialsDocument(
        search=search,
        trials=tuple(TrialEntry(**entry, state="finished", reason=None) for entry in entries),
        reference=None,
        confirmations=(),
    )


def _by_search(search: str, point: FrontPoint) -> FrontPoint:
    return point.model_copy(update={"method": search, "trial": f"{point.trial} {point.method},"})
