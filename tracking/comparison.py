"""Fronts of several searches under one common reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from spaces.errors import RequestError
from spaces.fronts import front, hypervolume
from spaces.metrics import METRICS
from tracking.documents import (
    BudgetNumbers,
    Compared,
    ComparisonDocument,
    FrontDocument,
    FrontPoint,
    LeadingPoint,
    ReferenceQuality,
    TrialEntry,
    TrialsDocument,
)
from tracking.picture import Picture, compose

Owned = tuple[str, FrontPoint]


def compare(documents: Sequence[FrontDocument], *, confirmed: bool) -> tuple[ComparisonDocument, Picture]:
    """Put fronts side by side; the picture shows every point, by search, and the front of them all.

    Raises:
        RequestError: when their metrics differ.
    """
    first = documents[0]
    names = [document.search for document in documents]
    metrics = [document.objective.metric for document in documents]
    if len(set(metrics)) > 1:
        raise RequestError(f"compare {' '.join(names)}: by {', '.join(metrics)}; allowed: searches by one metric")
    objective = first.objective
    worst = min if objective.mode == "max" else max
    references = [one.reference.quality for one in documents if one.reference.quality is not None]
    reference = worst(references) if references else None
    budget = BudgetNumbers(
        parameters=max(one.budget.parameters for one in documents),
        at_least=min(one.budget.at_least for one in documents),
        bytes=None,
    )
    owned = [(one.search, _scored(point, confirmed)) for one in documents for point in one.front]
    leading = front(
        owned,
        quality=lambda one: one[1].quality,
        size=lambda one: one[1].trainable_parameters,
        mode=objective.mode,
    )

    def area(document: FrontDocument) -> float | None:
        if reference is None:
            return None
        return hypervolume(
            ((point.quality, point.trainable_parameters) for search, point in owned if search == document.search),
            at_least=budget.at_least,
            budget=budget.parameters,
            reference=reference,
            perfect=METRICS[objective.metric].perfect,
        )

    document = ComparisonDocument(
        objective=objective,
        budget=budget,
        reference=ReferenceQuality(quality=reference),
        searches=tuple(
            Compared(
                search=one.search,
                base_model=one.base_model,
                reference=one.reference.quality,
                points=len(one.front),
                leading=sum(search == one.search for search, _ in leading),
                hypervolume=area(one),
            )
            for one in documents
        ),
        front=tuple(
            LeadingPoint(
                search=search,
                trial=point.trial,
                method=point.method,
                config=point.config,
                quality=point.quality,
                trainable_parameters=point.trainable_parameters,
            )
            for search, point in leading
        ),
    )
    return document, _picture(document, first, owned, leading)


def _picture(
    document: ComparisonDocument,
    first: FrontDocument,
    owned: Sequence[Owned],
    leading: Sequence[Owned],
) -> Picture:
    """As of one search, with the name of the search in the place of the method's."""
    together = first.model_copy(
        update={
            "budget": document.budget,
            "reference": document.reference,
            "front": tuple(_renamed(*one) for one in leading),
        }
    )
    beside = TrialsDocument(
        search=first.search,
        trials=tuple(
            TrialEntry(
                **_renamed(search, point).model_dump(include=set(TrialEntry.model_fields)),
                state="finished",
                reason=None,
            )
            for search, point in owned
        ),
        reference=None,
        confirmations=(),
    )
    picture = compose(together, beside, confirmed=False, axis="trainable")
    areas = (f"{one.search} {one.hypervolume:.3f}" for one in document.searches if one.hypervolume is not None)
    return dataclasses.replace(
        picture,
        title=" and ".join(one.search for one in document.searches),
        subtitle=f"hypervolume over the common range: {', '.join(areas)}",
        legend="search",
        knee=None,
    )


def _scored(point: FrontPoint, confirmed: bool) -> FrontPoint:
    return point.model_copy(update={"quality": point.score(confirmed=confirmed)})


def _renamed(search: str, point: FrontPoint) -> FrontPoint:
    return point.model_copy(update={"method": search, "trial": f"{point.trial} {point.method},"})
