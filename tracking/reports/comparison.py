"""Fronts of several searches compared under one common budget and reference."""

from __future__ import annotations

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
    ObjectiveName,
    ReferenceQuality,
)

OwnedPoint = tuple[str, FrontPoint]
"""A point with the name of its search; its `quality` is the one that it is compared by."""

_COMPARABLE = ("model", "data", "training")
"""Sections of a spec that decide the meaning of a quality."""


def compare(
    fronts: Sequence[FrontDocument],
    *,
    confirmed: bool,
    perfects: Mapping[str, float] | None = None,
    specs: Mapping[str, SearchSpec] | None = None,
) -> ComparisonDocument:
    """Compare fronts, and find the front of all their points together.

    Args:
        confirmed: compare points by their confirmed quality.
        perfects: the perfect value of the metric, by search; needed for metrics of users' own.
        specs: by search, as far as they are known; the document lists in what they differ.

    Raises:
        RequestError: when the metrics of the searches differ.
    """
    objective = _common_objective(fronts)
    perfect = _common_perfect(fronts, perfects or {})
    budget, reference = _common_budget(fronts), _common_reference(fronts, objective.mode)
    owned = owned_points(fronts, confirmed=confirmed)
    leading = front(
        owned,
        quality=lambda one: one[1].quality,
        size=lambda one: one[1].trainable_parameters,
        mode=objective.mode,
    )
    return ComparisonDocument(
        objective=objective,
        budget=budget,
        reference=ReferenceQuality(quality=reference),
        searches=tuple(_compared(one, owned, leading, objective, budget, reference, perfect) for one in fronts),
        front=tuple(_leading_point(*one) for one in leading),
        differences=tuple(_differences(fronts, specs or {})),
    )


def owned_points(fronts: Sequence[FrontDocument], *, confirmed: bool) -> list[OwnedPoint]:
    """Return every point of every front, with the quality that it is compared by."""
    return [
        (document.search, point.model_copy(update={"quality": point.score(confirmed=confirmed)}))
        for document in fronts
        for point in document.front
    ]


def _common_objective(fronts: Sequence[FrontDocument]) -> ObjectiveName:
    metrics = [document.objective.metric for document in fronts]
    if len(set(metrics)) > 1:
        raise _by_several(fronts, metrics)
    if len({document.objective.mode for document in fronts}) > 1:  # functions of one name
        raise _by_several(fronts, [f"{document.objective.metric} ({document.objective.mode})" for document in fronts])
    return fronts[0].objective


def _common_perfect(fronts: Sequence[FrontDocument], perfects: Mapping[str, float]) -> float:
    found = [perfects[document.search] for document in fronts if document.search in perfects]
    metric = fronts[0].objective.metric
    if len(set(found)) > 1:  # functions of one name
        raise _by_several(fronts, [f"{metric} (perfect: {perfect:g})" for perfect in found])
    return found[0] if found else known_metrics()[metric].perfect


def _by_several(fronts: Sequence[FrontDocument], metrics: Sequence[str]) -> RequestError:
    names = " ".join(document.search for document in fronts)
    return RequestError(f"compare {names}: by {', '.join(metrics)}; allowed: searches by one metric")


def _common_budget(fronts: Sequence[FrontDocument]) -> BudgetNumbers:
    return BudgetNumbers(
        parameters=max(one.budget.parameters for one in fronts),
        at_least=min(one.budget.at_least for one in fronts),
        bytes=None,
    )


def _common_reference(fronts: Sequence[FrontDocument], mode: Mode) -> float | None:
    """Return the worst of the references, above which every front has an area; None where there are none."""
    worst = min if mode == "max" else max
    return worst((one.reference.quality for one in fronts if one.reference.quality is not None), default=None)


def _compared(
    document: FrontDocument,
    owned: Sequence[OwnedPoint],
    leading: Sequence[OwnedPoint],
    objective: ObjectiveName,
    budget: BudgetNumbers,
    reference: float | None,
    perfect: float,
) -> Compared:
    mine = [(search, point) for search, point in owned if search == document.search]
    area = None
    if reference is not None:
        area = hypervolume(
            ((point.quality, point.trainable_parameters) for _, point in mine),
            at_least=budget.at_least,
            budget=budget.parameters,
            reference=reference,
            perfect=perfect,
        )
    return Compared(
        search=document.search,
        base_model=document.base_model,
        reference=document.reference.quality,
        points=len(document.front),
        leading=sum(search == document.search for search, _ in leading),
        hypervolume=area,
        best=_best([_leading_point(*one) for one in mine], objective.mode),
        steps=_steps(document),
    )


def _leading_point(search: str, point: FrontPoint) -> LeadingPoint:
    return LeadingPoint(search=search, **point.model_dump(include=set(LeadingPoint.model_fields)))


def _best(points: Sequence[LeadingPoint], mode: Mode) -> LeadingPoint | None:
    best = max if mode == "max" else min
    return best(points, key=lambda point: point.quality, default=None)


def _steps(document: FrontDocument) -> tuple[int, ...]:
    return tuple(sorted({point.steps for point in document.front}))


def _differences(fronts: Sequence[FrontDocument], specs: Mapping[str, SearchSpec]) -> Iterator[str]:
    """Yield what differs between the searches, by field of their specs; without all specs, what the fronts show."""
    names = [document.search for document in fronts]
    bases = [f"{document.base_model} of {document.base_parameters:,} parameters" for document in fronts]
    yield from _difference("base", names, bases)
    if not all(name in specs for name in names):
        steps = [", ".join(map(str, _steps(document))) or "none" for document in fronts]
        yield from _difference("steps", names, steps)
        return
    settings = [dict(_settings(specs[name])) for name in names]
    for field in dict.fromkeys(field for one in settings for field in one):
        yield from _difference(field, names, [str(one.get(field)) for one in settings])


def _settings(spec: SearchSpec) -> Iterator[tuple[str, object]]:
    """Yield the settings that decide the meaning of a quality, but for the base, which is compared by name and size."""
    values = spec.model_dump(mode="json")
    for section in _COMPARABLE:
        yield from ((f"{section}.{field}", value) for field, value in values[section].items() if field != "path")
    yield "search.seed", spec.search.seed


def _difference(field: str, names: Sequence[str], values: Sequence[str]) -> Iterator[str]:
    if len(set(values)) > 1:
        pairs = ", ".join(f"{value} in {name}" for name, value in zip(names, values, strict=True))
        yield f"{field}: {pairs}"
