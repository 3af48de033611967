"""The result of a search, as a notebook uses it."""

from __future__ import annotations

from pathlib import Path

from search.driver.result import SearchResult
from search.driver.summary import summary_of
from search.exporting import Choice
from tests.tracking.examples import REFERENCE, make_spec, search_row, trial_row

SMALL = trial_row("0000", 0.6, 10)
MIDDLE = trial_row("0001", 0.8, 100, confirmed_quality=0.79)
LUCKY = trial_row("0002", 0.81, 900, confirmed_quality=0.7)
ROWS = [REFERENCE, SMALL, MIDDLE, LUCKY]


def result(tmp_path: Path, *rows: object) -> SearchResult:
    return SearchResult(make_spec(tmp_path), summary_of(search_row(), list(rows), waiting=0))  # type: ignore[arg-type]


def test_it_has_the_fronts_and_what_an_export_would_take(tmp_path: Path) -> None:
    found = result(tmp_path, *ROWS)
    assert found.name == "demo"
    assert [point.trial for point in found.front.front] == ["0000", "0001", "0002"]
    assert [point.trial for point in found.confirmed.front] == ["0001"]
    assert list(found.trials.to_pandas()["trial"]) == ["0000", "0001", "0002"]
    assert found.ended_early is None
    assert found.best is not None
    assert found.best.trial == "0001"
    assert found.knee is not None


def test_a_limit_is_kept_as_an_export_keeps_it(tmp_path: Path) -> None:
    found = result(tmp_path, *ROWS)
    for limit in (10, 99, 100, 5000):
        chosen = Choice(limit, best=False, knee=False, trial=None).of(search_row(), ROWS)
        point = found.within(limit)
        assert point is not None
        assert point.trial == chosen.plan.trial
    assert found.within(9) is None


def test_without_a_trial_that_beats_the_head_there_is_no_best(tmp_path: Path) -> None:
    found = result(tmp_path, REFERENCE, trial_row("0000", 0.5, 10))
    assert (found.best, found.knee, found.within(1000)) == (None, None, None)


def test_its_plot_is_a_figure_of_the_trials(tmp_path: Path) -> None:
    figure = result(tmp_path, *ROWS).plot()
    drawn = [x for trace in figure.data if trace.mode == "markers" for x in trace.x]
    assert set(drawn) >= {10, 100, 900}
    assert result(tmp_path, *ROWS).plot(confirmed=True).layout.title.text == figure.layout.title.text
