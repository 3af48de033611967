"""One best point and one knee, wherever they are asked for: commands, pictures, the service and what it exports."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from search.cli.remote import status as print_status
from search.cli.show import front as print_front
from search.cli.sources import Mlflow
from search.documents.service import ExportRequest
from search.exporting import Choice
from search.service.cache.trial_cache import TrialCache
from search.service.jobs.exports import choose_export
from spaces.errors import NoAnswer
from spaces.model.budget import Budget
from tests.search.service.alone import Alone
from tests.tracking.examples import finished, plan
from tracking.queries import front_document, trials_document
from tracking.reports.figure import compose
from tracking.writing.search_writer import SearchWriter

pytestmark = pytest.mark.integration

Trial = tuple[int, float, float | None]  # parameters, quality, confirmed quality


def written(alone: Alone, trials: Sequence[Trial], head: float) -> str:
    """A search that trained this; gives where MLflow is."""
    spec, uri = alone.spec("mine"), alone.settings.tracking_uri
    alone.begin(spec)
    writer = SearchWriter(uri, spec, "id of mine", spec.home)
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    reference = plan("reference", kind="reference", parameters=0)
    writer.start_trial(reference)
    writer.end_trial(reference, finished(head))
    for number, (parameters, quality, confirmed) in enumerate(trials):
        one = plan(f"{number:04d}", parameters=parameters)
        writer.start_trial(one)
        writer.end_trial(one, finished(quality))
        if confirmed is not None:
            writer.set_confirmed(one.trial, confirmed, 0.01, None)
    writer.log_counts(finished=len(trials), stopped=0, failed=0, rejected=0, hypervolume=None)
    writer.end_search("finished")
    assert writer.close(60) == 0
    return uri


def given(point: Any) -> str | None:
    """The trial of a point of a document or of its JSON."""
    return None if point is None else point["trial"] if isinstance(point, dict) else point.trial


def shown(uri: str) -> dict[str, str]:
    """The trials that the table of `paretune front` marks."""
    printed = io.StringIO()
    print_front(Mlflow(uri), "mine", False, "trainable", None, None, None, False, Console(file=printed, width=160))
    marks = {}
    for line in printed.getvalue().splitlines():
        for mark in ("best", "knee"):
            if mark in line.replace(",", "").split()[-2:]:
                marks[mark] = line.split()[0]
    return marks


@pytest.mark.parametrize(
    ("trials", "head", "best", "knee"),
    [
        # Trained once each; the first two points of the front do not beat the head.
        ([(100, 0.40, None), (500, 0.50, None), (1_000, 0.70, None), (30_000, 0.72, None)], 0.5, "0003", "0003"),
        (
            [(100, 0.4, None), (500, 0.51, None), (1_000, 0.7, None), (5_000, 0.71, None), (30_000, 0.72, None)],
            0.5,
            "0004",
            "0002",
        ),
        # Confirmed: by one quality the knee would be 0001, and 0003 the best.
        ([(100, 0.60, 0.58), (1_000, 0.75, 0.6), (4_000, 0.76, 0.74), (30_000, 0.78, 0.75)], 0.5, "0003", "0002"),
        # A confirmed point is worse than one that was trained once.
        ([(1_000, 0.5, 0.311), (15_000, 0.734, None)], 0.393, "0001", "0001"),
        ([(1_000, 0.5, 0.41), (15_000, 0.734, None)], 0.393, "0001", "0001"),
        # Nothing beats the head.
        ([(100, 0.4, None), (1_000, 0.5, None)], 0.5, None, None),
        ([(100, 0.6, 0.5)], 0.5, None, None),
    ],
)
def test_best_and_knee_are_the_same_everywhere(
    alone: Alone, trials: Sequence[Trial], head: float, best: str | None, knee: str | None
) -> None:
    uri = written(alone, trials, head)
    answers = [front_document(uri, "mine"), TrialCache(uri).get("mine").front_document()]
    answers += [alone.http.get("/v1/searches/mine/front").json(), alone.status("mine")]
    for document in answers:
        marks = [document[one] if isinstance(document, dict) else getattr(document, one) for one in ("best", "knee")]
        assert [given(one) for one in marks] == [best, knee]
    assert shown(uri) == {mark: one for mark, one in (("best", best), ("knee", knee)) if one is not None}
    front = front_document(uri, "mine")
    picture = compose(front, trials_document(uri, "mine"), confirmed=False, axis="trainable")
    assert (picture.knee.label.split()[0].removeprefix("<b>") if picture.knee else None) == knee
    assert ("none beats the head alone" in picture.subtitle) == (best is None)
    printed = io.StringIO()
    print_status("mine", None, uri, alone.storage, False, Console(file=printed, width=160))
    assert ("none: no trial is known to beat the head alone" in printed.getvalue()) == (best is None)
    reading = TrialCache(uri).get("mine")
    for choice, expected in (("best", best), ("knee", knee)):
        wanted = ExportRequest.model_validate({"choice": choice})
        ours = Choice(None, best=choice == "best", knee=choice == "knee", trial=None)
        if expected is None:
            with pytest.raises(NoAnswer):
                choose_export(wanted, reading)
            with pytest.raises(NoAnswer):
                ours.of(reading.search, reading.trials)
            refused = alone.http.post("/v1/searches/mine/exports", json={"choice": choice})
            assert refused.status_code == 409
            assert "no trial is known to beat the head alone" in refused.json()["detail"]
        else:
            assert choose_export(wanted, reading).trial == expected
            assert ours.of(reading.search, reading.trials).plan.trial == expected
