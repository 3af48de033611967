"""Fronts of several searches under one common reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from spaces.errors import RequestError
from spaces.pareto.front import front, hypervolume
from spaces.spec.metrics import Mode, known_metrics
from spaces.spec.spec import SearchSpec
from tracking.documents.schemas import (
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
from tracking.reports.figure import Picture, compose

Owned = tuple[str, FrontPoint]


_COMPARABLE = ("model", "data", "training")
"""Sections of a spec that decide what a quality means."""


def compare(
    documents: Sequence[FrontDocument], *, confirmed: bool, specs: Mapping[str, SearchSpec] | None = None
) -> tuple[ComparisonDocument, Picture]:
    """Put fronts side by side; the picture shows every point, by search, and the front of them all.

    Args:
        confirmed: compare points by their confirmed quality.
        specs: by search, where they are known: in what they differ is said in the document.

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
            perfect=known_metrics()[objective.metric].perfect,
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
                best=_best([_leading(*point) for point in owned if point[0] == one.search], objective.mode),
                steps=tuple(sorted({point.steps for point in one.front})),
            )
            for one in documents
        ),
        front=tuple(_leading(*one) for one in leading),
        differences=tuple(_differences(documents, specs or {})),
    )
    return document, _picture(document, first, owned, leading)


def _leading(search: str, point: FrontPoint) -> LeadingPoint:
    return LeadingPoint(search=search, **point.model_dump(include=set(LeadingPoint.model_fields)))


def _best(points: Sequence[LeadingPoint], mode: Mode) -> LeadingPoint | None:
    best = max if mode == "max" else min
    return best(points, key=lambda point: point.quality, default=None)


def _differences(documents: Sequence[FrontDocument], specs: Mapping[str, SearchSpec]) -> Iterator[str]:
    """What the searches do not have in common, by field of their specs, or as their fronts show it."""
    names = [document.search for document in documents]
    bases = [f"{document.base_model} of {document.base_parameters:,} parameters" for document in documents]
    yield from _told("base", names, bases)
    if not all(name in specs for name in names):
        yield from _told("steps", names, [_steps(document) for document in documents])
        return
    flat = [dict(_settings(specs[name])) for name in names]
    for field in dict.fromkeys(field for one in flat for field in one):
        yield from _told(field, names, [str(one.get(field)) for one in flat])


def _steps(document: FrontDocument) -> str:
    return ", ".join(map(str, sorted({point.steps for point in document.front}))) or "none"


def _settings(spec: SearchSpec) -> Iterator[tuple[str, object]]:
    """What decides the meaning of a quality; the base itself is told by its name and its size."""
    values = spec.model_dump(mode="json")
    for section in _COMPARABLE:
        yield from ((f"{section}.{field}", value) for field, value in values[section].items() if field != "path")
    yield "search.seed", spec.search.seed


def _told(field: str, names: Sequence[str], values: Sequence[str]) -> Iterator[str]:
    if len(set(values)) > 1:
        pairs = ", ".join(f"{value} in {name}" for name, value in zip(names, values, strict=True))
        yield f"{field}: {pairs}"


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
