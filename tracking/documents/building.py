"""Build documents from runs that were read; no MLflow here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from spaces.pareto.answers import Answer, ConfirmablePoint, above, head_level, trusted_answer
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
    RungEntry,
    SearchEntry,
    Ties,
    TrialCounts,
    TrialEntry,
    TrialsDocument,
)
from tracking.mlflow_store.run_records import SearchRun, TrialRun
from tracking.mlflow_store.tags import SearchFacts

_PLANNED = {
    "trial",
    "method",
    "trainable_parameters",
    "stored_parameters",
    "head_parameters",
    "adapter_bytes",
}


CONFIRMED = "confirmed_quality"
"""The metric by which confirmed trials are compared."""


def build_front(search: SearchRun, rows: Sequence[TrialRun], *, confirmed: bool, axis: Axis) -> FrontDocument:
    """Return the front of a search.

    Args:
        rows: the reference, and at least all trials that can be on the front; see `build_answer`.
        confirmed: only confirmed points, by their confirmed quality.
        axis: the count that quality is traded for, and over which the hypervolume is taken.
    """
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


def best_within(search: SearchRun, rows: Sequence[TrialRun], parameters: int) -> FrontPoint | None:
    """Return the best trial with at most so many trainable parameters; None where none so small beats the head alone.

    Args:
        rows: as for `build_answer`.
    """
    best = build_answer(search, rows, at_most=parameters).best
    return None if best is None else _point(best)


def _ties(points: Sequence[TrialRun], rows: Sequence[TrialRun]) -> Ties:
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
    search: SearchRun,
    rows: Sequence[TrialRun],
    *,
    confirmed: bool = False,
    axis: Axis = "trainable",
    at_most: int | None = None,
) -> Answer[TrialRun]:
    """Return the best trial of a search and its knee.

    Args:
        rows: the reference, and all trials that can be on the front, on the confirmed front, or on the front of the
            trials that were not confirmed.
        confirmed: consider confirmed points only.
        axis: the count that quality is traded for.
        at_most: the largest size to consider.
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


def _fresh_scores(rows: Iterable[TrialRun]) -> dict[str, list[Score]]:
    """Of each trial that was confirmed its trainings on fresh seeds."""
    scores: dict[str, list[Score]] = {}
    for row in rows:
        if row.plan.kind == "confirmation" and row.quality is not None and row.plan.confirms is not None:
            scores.setdefault(row.plan.confirms, []).append(Score(row.quality, unpack(row.row_values)))
    return scores


def is_near_head(search: SearchRun, rows: Sequence[TrialRun]) -> bool:
    """Tell whether the best trial beats the head alone by no more than their errors, as far as these are known."""
    best = build_answer(search, rows).best
    head = next((row for row in rows if row.plan.kind == "reference"), None)
    if best is None or head is None or head.quality is None or (on_rows := unpack(head.row_values)) is None:
        return False
    once = [Score(best.metrics["quality"], unpack(best.row_values))]
    fresh = _fresh_scores(rows).get(best.plan.trial, once)
    return not told_apart(fresh, [Score(head.quality, on_rows)], _spread(rows))


def smallest_answer(search: SearchRun, rows: Sequence[TrialRun]) -> int | None:
    """The fewest parameters within which there is a best trial; None where no trial beats the head alone."""
    points = [_contender(row, "trainable") for row in _trials(rows) if row.quality is not None]
    able = above(points, lambda point: point.known, _level_of_the_head(search, rows), search.facts.mode)
    return min((point.parameters for point in able), default=None)


def _contender(row: TrialRun, axis: Axis) -> ConfirmablePoint:
    return ConfirmablePoint(row.plan.trial, _size(row, axis), row.metrics["quality"], row.metrics.get(CONFIRMED))


def _clearly_better(once: TrialRun, confirmed: TrialRun, mode: Mode) -> bool:
    """Tell whether a trial that was trained once is better than a confirmed one by two standard errors.

    Only the two runs are used, so that the answer does not depend on how much of the search was read: the spread
    between seeds is that of the confirmed trial, and both trials' outcomes by row are those of the search itself.
    """
    mine = [Score(once.metrics["quality"], unpack(once.row_values))]
    theirs = [Score(confirmed.metrics[CONFIRMED], unpack(confirmed.row_values))] * _seeds(confirmed)
    ahead = mine[0].quality - theirs[0].quality
    return (ahead if mode == "max" else -ahead) > 2 * error_of_difference(mine, theirs, _spread([confirmed]))


def _spread(rows: Iterable[TrialRun]) -> Spread:
    """Return the spread between seeds, pooled over the trials that were confirmed on several."""
    known = [(row.metrics["confirmed_std"] ** 2, _seeds(row) - 1) for row in rows if "confirmed_std" in row.metrics]
    freedom = sum(degrees for _, degrees in known)
    return Spread(sum(variance * degrees for variance, degrees in known) / freedom if freedom else 0.0, freedom)


def _seeds(row: TrialRun) -> int:
    """Return the number of trainings that confirm a trial; an earlier version did not record it: two if it has a
    standard deviation, else one."""
    return max(int(row.metrics.get("confirmed_seeds", 1)), 2 if "confirmed_std" in row.metrics else 1)


def _level_of_the_head(search: SearchRun, rows: Sequence[TrialRun]) -> float | None:
    """Return the quality of the reference: infinitely bad where its quality is not finite, None until it finished."""
    row = next((row for row in rows if row.plan.kind == "reference"), None)
    if row is None or row.state != "finished":
        return None
    return head_level(row.quality, search.facts.mode)


def build_trials(search: SearchRun, rows: Sequence[TrialRun]) -> TrialsDocument:
    """Return every training of a search, in the order of `rows` within each kind."""
    by_kind = {kind: [row for row in rows if row.plan.kind == kind] for kind in get_args(Kind)}
    return TrialsDocument(
        search=search.name,
        trials=tuple(TrialEntry(**_entry(row)) for row in by_kind["trial"]),
        reference=next((TrialEntry(**_entry(row)) for row in by_kind["reference"]), None),
        confirmations=tuple(
            ConfirmationEntry(**_entry(row), confirms=row.plan.confirms or "") for row in by_kind["confirmation"]
        ),
    )


def build_search(row: SearchRun, experiment: str) -> SearchEntry:
    """Return one search, with the numbers that it logged last."""
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


def _trials(rows: Sequence[TrialRun]) -> list[TrialRun]:
    """Return the trials in the order of ids, because of equal ones the front takes the first."""
    return sorted(
        (row for row in rows if row.plan.kind == "trial"), key=lambda row: (len(row.plan.trial), row.plan.trial)
    )


def _size(row: TrialRun, axis: Axis) -> int:
    """Return the count on the axis; it includes the head where the budget does."""
    return row.plan.trainable_parameters if axis == "trainable" else row.plan.stored_parameters


def _budget(facts: SearchFacts) -> BudgetNumbers:
    budget = facts.budget
    return BudgetNumbers(parameters=budget.parameters, at_least=budget.at_least, bytes=budget.bytes)


def _counts(logged: Mapping[str, float]) -> TrialCounts:
    """Return the counts that the search logged: rejected configurations have no runs that could be counted."""
    return TrialCounts(**{name: int(logged.get(name, 0)) for name in TrialCounts.model_fields})


def _point(row: TrialRun) -> FrontPoint:
    return FrontPoint(
        **row.plan.model_dump(include=_PLANNED),
        config=row.plan.settings,
        run_id=row.run_id,
        quality=row.metrics["quality"],
        confirmed_quality=row.metrics.get(CONFIRMED),
        confirmed_std=row.metrics.get("confirmed_std"),
        test_quality=row.metrics.get("test_quality"),
        steps=int(row.metrics.get("steps", 0)),
        train_seconds=row.metrics.get("train_seconds", 0.0),
        peak_memory_bytes=int(row.metrics.get("peak_memory_bytes", 0)),
    )


def _entry(row: TrialRun) -> dict[str, Any]:
    steps = row.metrics.get("steps")
    return {
        **row.plan.model_dump(include={"trial", "method", "trainable_parameters", "adapter_bytes"}),
        "config": row.plan.settings,
        "run_id": row.run_id,
        "state": row.state,
        "quality": row.quality,
        "steps": None if steps is None else int(steps),
        "train_seconds": row.metrics.get("train_seconds"),
        "reason": row.reason,
        "rungs": tuple(RungEntry(**rung.model_dump(exclude={"best"})) for rung in row.rungs),
    }
