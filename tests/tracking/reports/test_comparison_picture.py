"""The picture of a comparison."""

from __future__ import annotations

from pathlib import Path

from tests.tracking.examples import front_of, trial_row
from tracking.reports.comparison import compare
from tracking.reports.comparison_picture import compose_comparison
from tracking.reports.plots import draw_html, draw_png


def test_the_picture_shows_every_point_by_its_search(tmp_path: Path) -> None:
    left = front_of("left", [trial_row("0000", 0.7, 100), trial_row("0001", 0.8, 5_000)])
    right = front_of("right", [trial_row("0000", 0.6, 200), trial_row("0001", 0.9, 9_000)])
    picture = compose_comparison(compare([left, right], confirmed=False), [left, right], confirmed=False)
    assert {dot.method for dot in picture.trials} == {"left", "right"}
    assert len(picture.trials) == 4
    assert [dot.size for dot in picture.front] == [100, 5_000, 9_000]
    assert picture.legend == "search"
    draw_html(picture, tmp_path / "compared.html")
    draw_png(picture, tmp_path / "compared.png")
    assert "left and right" in (tmp_path / "compared.html").read_text()
    assert (tmp_path / "compared.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_of_confirmed_fronts_shows_confirmed_quality() -> None:
    trials = [trial_row("0000", 0.9, 1_000, confirmed_quality=0.6), trial_row("0001", 0.8, 2_000)]
    fronts = [front_of(name, trials, confirmed=True) for name in ("left", "right")]
    picture = compose_comparison(compare(fronts, confirmed=True), fronts, confirmed=True)
    assert [(dot.method, dot.quality) for dot in picture.front] == [("left", 0.6)]
    assert [(dot.method, dot.quality) for dot in picture.trials] == [("left", 0.6), ("right", 0.6)]


def test_the_front_of_a_picture_is_that_of_the_document_where_trials_have_one_number() -> None:
    left = front_of("left", [trial_row("0000", 0.7, 100)])
    right = front_of("right", [trial_row("0000", 0.9, 100)])
    picture = compose_comparison(compare([left, right], confirmed=False), [left, right], confirmed=False)
    assert [(dot.method, dot.quality) for dot in picture.front] == [("right", 0.9)]
    assert picture.subtitle.startswith("hypervolume over the common range: left 0.")
