"""The front as a table."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from tests.tracking.examples import REFERENCE, search_row, trial_row
from tracking.documents import FrontDocument, FrontPoint
from tracking.tables import answer_note, front_csv, front_table
from tracking.views import build_front

TRIALS = [
    REFERENCE,
    trial_row("0000", 0.6, 100),
    trial_row("0001", 0.75, 1000, confirmed_quality=0.74, confirmed_std=0.01, test_quality=0.72),
    trial_row("0002", 0.76, 20_000),
]


def printed(document: FrontDocument) -> list[str]:
    console = Console(width=160, record=True, file=StringIO())
    console.print(front_table(document))
    return console.export_text().splitlines()


def test_the_table_shows_the_front_with_its_best_and_its_knee() -> None:
    document = build_front(search_row(), TRIALS, confirmed=False, axis="trainable")
    title, heading, *lines = printed(document)
    assert title.startswith("demo: up to 50,000 parameters, head alone 50.0%, hypervolume 0.")
    assert heading.split() == [
        "trial",
        "method",
        "trainable",
        "parameters",
        "of",
        "base",
        "accuracy",
        "confirmed",
        "test",
        "adapter",
    ]
    assert lines[0].split() == ["0000", "lora", "100", "0.010%", "60.0%", "–", "–", "400", "B"]
    assert " ".join(lines[1].split()) == "0001 lora 1,000 0.100% 75.0% 74.0% ± 1.0% 72.0% 4.0 kB knee"
    assert lines[2].split() == ["0002", "lora", "20,000", "2.000%", "76.0%", "–", "–", "80.0", "kB", "best"]
    assert answer_note(document) == ""


def test_one_point_is_the_best_and_the_knee() -> None:
    document = build_front(search_row(), TRIALS[:2], confirmed=False, axis="trainable")
    *_, line = printed(document)
    assert line.split() == ["0000", "lora", "100", "0.010%", "60.0%", "400", "B", "best,", "knee"]


def test_no_point_that_does_not_beat_the_head_has_a_mark() -> None:
    rows = [REFERENCE, trial_row("0000", 0.45, 100), trial_row("0001", 0.5, 1000)]
    document = build_front(search_row(), rows, confirmed=False, axis="trainable")
    assert [line.split()[-1] for line in printed(document)[-2:]] == ["B", "kB"]
    assert answer_note(document) == "No trial beats the head alone (50.0%), so there is no best point and no knee."
    unmeasured = build_front(search_row(), rows[1:], confirmed=False, axis="trainable")
    assert answer_note(unmeasured).startswith("The head alone was not measured, so no trial is known to beat it")


def test_a_best_point_that_only_the_confirmed_front_has_is_named() -> None:
    rows = [REFERENCE, *TRIALS[1:3], trial_row("0002", 0.76, 20_000, confirmed_quality=0.55)]
    rows.append(trial_row("0003", 0.755, 21_000, confirmed_quality=0.77))
    document = build_front(search_row(), rows, confirmed=False, axis="trainable")
    assert [line.split()[-1] for line in printed(document)[-3:]] == ["B", "kB", "kB"]
    assert answer_note(document).endswith(" did worse when they were confirmed: 0003 (best, knee).")


def test_a_front_without_points_is_a_heading() -> None:
    lines = printed(build_front(search_row("loss"), [], confirmed=False, axis="trainable"))
    assert lines[0].strip() == "demo: up to 50,000 parameters, head alone –"
    assert len([line for line in lines if line.strip()]) == 2


def test_a_measure_that_is_no_share_is_no_percentage() -> None:
    document = build_front(search_row("loss"), TRIALS[:2], confirmed=False, axis="trainable")
    *_, line = printed(document)
    assert "0.6" in line.split()


def test_the_csv_has_the_columns_of_the_json(tmp_path: Path) -> None:
    document = build_front(search_row(), TRIALS, confirmed=False, axis="trainable")
    front_csv(document, tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == list(FrontPoint.model_fields)
    assert [line["trial"] for line in lines] == ["0000", "0001", "0002"]
    assert json.loads(lines[1]["config"]) == document.front[1].config
    assert float(lines[1]["confirmed_std"]) == 0.01
    assert lines[0]["confirmed_quality"] == ""
