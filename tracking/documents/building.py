"""Rows of MLflow become documents; no MLflow here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from spaces.pareto.answers import Answer, Point, above, head_level, trusted_answer
from spaces.pareto.front import front, hypervolume
from spaces.pareto.significance import Score, Spread, error_of_difference, ties, told_apart
from spaces.spec.metrics import Mode
from spaces.trials.records import Kind
from spaces.trials.row_values import unpack
from tracking.documents.schemas import (
    Axis,
    BudgetNumbers,
    ConfirmationEntry,
    FrontDocument,
    FrontPoint,
    ObjectiveName,
    ReferenceQuality,
    SearchEntry,
    Ties,
    TrialCounts,
    TrialEntry,
    TrialsDocument,
)
from tracking.mlflow_store.runs import SearchRow, TrialRow
from tracking.mlflow_store.tags import SearchFacts

_PLANNED = {
    "trial",
    "method",
    "config",
    "trainable_parameters",
    "stored_parameters",
    "head_parameters",
    "adapter_bytes",
}


CONFIRMED = "confirmed_quality"
"""The metric of a trial by which a front compares confirmed ones."""


def build_front(search: SearchRow, rows: Sequence[TrialRow], *, confirmed: bool, axis: Axis) -> FrontDocument:
    """The document of a search, from all trials that its front can hold and the reference."""
    facts, trials = search.facts, _trials(rows)
    reference = next((row.quality for row in rows if row.plan.kind == "reference"), None)
    found = build_answer(search, rows, confirmed=confirmed, axis=axis)
    measure = CONFIRMED if confirmed else "quality"
    points = front(
        [row for row in trials if row.quality is not None and measure in row.metrics],
        quality=lambda row: row.metrics[measure],
        size=lambda row: _size(row, axis),
        mode=facts.mode,
    )
    area = None
    if reference is not None:
        area = hypervolume(
            ((row.metrics[measure], _size(row, axis)) for row in points),
            at_least=facts.budget.at_least,
            budget=facts.budget.parameters,
            reference=reference,
            perfect=facts.perfect,
        )
    return FrontDocument(
        search=search.name,
        base_model=facts.base_model,
        base_parameters=facts.base_parameters,
        budget=_budget(facts),
        objective=ObjectiveName(metric=facts.metric, mode=facts.mode),
        reference=ReferenceQuality(quality=reference),
        hypervolume=area,
        trials=_counts(search.metrics),
        front=tuple(_point(row) for row in points),
        best=_point(found.best) if found.best is not None else None,
        knee=_point(found.knee) if found.knee is not None else None,
        ties=_ties(points, rows) if confirmed and len(points) > 1 else None,
    )


def best_within(search: SearchRow, rows: Sequence[TrialRow], parameters: int) -> FrontPoint | None:
    """Return the best trial with at most so many trainable parameters; None where none so small beats the head alone.

    Args:
        rows: as for `build_answer`.
    """
    best = build_answer(search, rows, at_most=parameters).best
    return None if best is None else _point(best)


def _ties(points: Sequence[TrialRow], rows: Sequence[TrialRow]) -> Ties:
    scores = _fresh_scores(rows)
    mine = [scores.get(row.plan.trial, []) for row in points]
    known = {score.rows.rows if score.rows is not None else None for found in mine for score in found}
    return Ties(
        pairs=tuple(ties({row.plan.trial: row.plan.trainable_parameters for row in points}, scores)),
        fewest=min(map(len, mine)),
        most=max(map(len, mine)),
        rows=known.pop() if len(known) == 1 else None,
    )


def build_answer(
    search: SearchRow,
    rows: Sequence[TrialRow],
    *,
    confirmed: bool = False,
    axis: Axis = "trainable",
    at_most: int | None = None,
) -> Answer[TrialRow]:
    """The best trial of a search and its knee.

    Args:
        rows: the reference, and all trials that the front, the confirmed front, or the front of those that were not
            confirmed can hold.
        confirmed: by confirmed points alone.
        at_most: the largest size that is wanted.
    """
    finished = {row.plan.trial: row for row in _trials(rows) if row.quality is not None}
    points = [_contender(row, axis) for row in finished.values() if not confirmed or CONFIRMED in row.metrics]
    mode = search.facts.mode
    found = trusted_answer(
        points,
        reference=_level_of_the_head(search, rows),
        mode=mode,
        clearly_better=lambda left, right: _clearly_better(finished[left.trial], finished[right.trial], mode),
        at_most=at_most,
    )
    best, bend = found.best, found.knee
    return Answer(finished[best.trial] if best else None, finished[bend.trial] if bend else None)


def _fresh_scores(rows: Iterable[TrialRow]) -> dict[str, list[Score]]:
    """Of each trial that was confirmed its trainings on fresh seeds."""
    scores: dict[str, list[Score]] = {}
    for row in rows:
        if row.plan.kind == "confirmation" and row.quality is not None and row.plan.confirms is not None:
            scores.setdefault(row.plan.confirms, []).append(Score(row.quality, unpack(row.row_values)))
    return scores


def is_near_head(search: SearchRow, rows: Sequence[TrialRow]) -> bool:
    """Whether the best trial beats the head alone by no more than their errors, as far as these are known."""
    best = build_answer(search, rows).best
    head = next((row for row in rows if row.plan.kind == "reference"), None)
    if best is None or head is None or head.quality is None or (on_rows := unpack(head.row_values)) is None:
        return False
    once = [Score(best.metrics["quality"], unpack(best.row_values))]
    fresh = _fresh_scores(rows).get(best.plan.trial, once)
    return not told_apart(fresh, [Score(head.quality, on_rows)], _spread(rows))


def smallest_answer(search: SearchRow, rows: Sequence[TrialRow]) -> int | None:
    """The fewest parameters within which there is a best trial; None where no trial beats the head alone."""
    points = [_contender(row, "trainable") for row in _trials(rows) if row.quality is not None]
    able = above(points, lambda point: point.known, _level_of_the_head(search, rows), search.facts.mode)
    return min((point.size for point in able), default=None)


def _contender(row: TrialRow, axis: Axis) -> Point:
    return Point(row.plan.trial, _size(row, axis), row.metrics["quality"], row.metrics.get(CONFIRMED))


def _clearly_better(once: TrialRow, confirmed: TrialRow, mode: Mode) -> bool:
    """Whether a trial that was trained once is better than a confirmed one by two standard errors.

    Nothing but the two runs is looked at, so that whoever read more of the search comes to the same: the spread of the
    seeds is that of the confirmed one, and of both the outcomes by row are those of the search.
    """
    mine = [Score(once.metrics["quality"], unpack(once.row_values))]
    theirs = [Score(confirmed.metrics[CONFIRMED], unpack(confirmed.row_values))] * _seeds(confirmed)
    ahead = mine[0].quality - theirs[0].quality
    return (ahead if mode == "max" else -ahead) > 2 * error_of_difference(mine, theirs, _spread([confirmed]))


def _spread(rows: Iterable[TrialRow]) -> Spread:
    """Between seeds, pooled over the trials that were confirmed on several."""
    known = [(row.metrics["confirmed_std"] ** 2, _seeds(row) - 1) for row in rows if "confirmed_std" in row.metrics]
    freedom = sum(degrees for _, degrees in known)
    return Spread(sum(variance * degrees for variance, degrees in known) / freedom if freedom else 0.0, freedom)


def _seeds(row: TrialRow) -> int:
    """Trainings by which a trial was confirmed; where an earlier version did not say, two if they have a spread."""
    return max(int(row.metrics.get("confirmed_seeds", 1)), 2 if "confirmed_std" in row.metrics else 1)


def _level_of_the_head(search: SearchRow, rows: Sequence[TrialRow]) -> float | None:
    """The quality of the reference; infinitely bad where it finished without a finite one, None until it finished."""
    row = next((row for row in rows if row.plan.kind == "reference"), None)
    if row is None or row.state != "finished":
        return None
    return head_level(row.quality, search.facts.mode)


def build_trials(search: SearchRow, rows: Sequence[TrialRow]) -> TrialsDocument:
    """Everything that a search trained, with ids in order within each kind."""
    by_kind = {kind: [row for row in rows if row.plan.kind == kind] for kind in get_args(Kind)}
    return TrialsDocument(
        search=search.name,
        trials=tuple(TrialEntry(**_entry(row)) for row in by_kind["trial"]),
        reference=next((TrialEntry(**_entry(row)) for row in by_kind["reference"]), None),
        confirmations=tuple(
            ConfirmationEntry(**_entry(row), confirms=row.plan.confirms or "") for row in by_kind["confirmation"]
        ),
    )


def build_search(row: SearchRow, experiment: str) -> SearchEntry:
    """One search, with the numbers that it last logged of itself."""
    logged = row.metrics
    return SearchEntry(
        search=row.name,
        run_id=row.run_id,
        experiment=experiment,
        state=row.state,
        started=datetime.fromtimestamp(row.started / 1000, UTC).isoformat(timespec="seconds"),
        base_model=row.facts.base_model,
        budget=_budget(row.facts),
        objective=ObjectiveName(metric=row.facts.metric, mode=row.facts.mode),
        trials=_counts(logged),
        hypervolume=logged.get("hypervolume"),
    )


def _trials(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """In the order of ids, for of several with the same quality and count the earliest counts."""
    return sorted(
        (row for row in rows if row.plan.kind == "trial"), key=lambda row: (len(row.plan.trial), row.plan.trial)
    )


def _size(row: TrialRow, axis: Axis) -> int:
    """The count on the axis; where the budget counts the head, the plan's counts hold it."""
    return row.plan.trainable_parameters if axis == "trainable" else row.plan.stored_parameters


def _budget(facts: SearchFacts) -> BudgetNumbers:
    budget = facts.budget
    return BudgetNumbers(parameters=budget.parameters, at_least=budget.at_least, bytes=budget.bytes)


def _counts(logged: Mapping[str, float]) -> TrialCounts:
    """As the search logs them; of configurations that were rejected there are no runs that could be counted."""
    return TrialCounts(**{name: int(logged.get(name, 0)) for name in TrialCounts.model_fields})


def _point(row: TrialRow) -> FrontPoint:
    return FrontPoint(
        **row.plan.model_dump(include=_PLANNED),
        run_id=row.run_id,
        quality=row.metrics["quality"],
        confirmed_quality=row.metrics.get(CONFIRMED),
        confirmed_std=row.metrics.get("confirmed_std"),
        test_quality=row.metrics.get("test_quality"),
        steps=int(row.metrics.get("steps", 0)),
        train_seconds=row.metrics.get("train_seconds", 0.0),
        peak_memory_bytes=int(row.metrics.get("peak_memory_bytes", 0)),
    )


def _entry(row: TrialRow) -> dict[str, Any]:
    steps = row.metrics.get("steps")
    return {
        **row.plan.model_dump(include={"trial", "method", "config", "trainable_parameters", "adapter_bytes"}),
        "run_id": row.run_id,
        "state": row.state,
        "quality": row.quality,
        "steps": None if steps is None else int(steps),
        "train_seconds": row.metrics.get("train_seconds"),
        "reason": row.reason,
    }
