"""The front as a table."""

from __future__ import annotations

import csv
import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
from rich.console import Console

from spaces.trials.row_values import pack
from tests.tracking.examples import REFERENCE, search_row, trial_row
from tracking.documents.building import build_front, build_trials
from tracking.documents.schemas import FrontDocument, FrontPoint, TrialsDocument
from tracking.reports.tables import answer_note, front_csv, front_table, ties_note, trials_table

TRIALS = [
    REFERENCE,
    trial_row("0000", 0.6, 100),
    trial_row("0001", 0.75, 1000, confirmed_quality=0.74, confirmed_std=0.01, test_quality=0.72),
    trial_row("0002", 0.80, 20_000),
]


NARROW = 90


def printed(document: FrontDocument | TrialsDocument, width: int = NARROW) -> list[str]:
    console = Console(width=width, record=True, file=StringIO())
    console.print(front_table(document) if isinstance(document, FrontDocument) else trials_table(document))
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
    assert lines[2].split() == ["0002", "lora", "20,000", "2.000%", "80.0%", "–", "–", "80.0", "kB", "best"]
    assert answer_note(document) == ""


def test_where_there_is_room_the_settings_are_shown() -> None:
    document = build_front(search_row(), TRIALS, confirmed=False, axis="trainable")
    _, heading, first, *_ = printed(document, 200)
    assert re.split(r"  +", heading.strip())[:3] == ["trial", "method", "targets, layers"]
    assert " 0000   lora    qv, all " in f" {first}"
    assert " 400 B    rank 2, lr 0.001, frozen false" in re.sub("  +", "    ", first)
    # In every width that the whole table has room for, all of it is there.
    for width in range(110, 200):
        text = " ".join(" ".join(printed(document, width)).split())
        assert ("rank" in text) == ("targets, layers" in text)
        assert "knee" in text
        assert "2.000%" in text


def test_the_trials_are_shown_with_their_settings() -> None:
    document = build_trials(search_row(), TRIALS)
    heading, *lines = printed(document, 200)
    assert [one.split()[0] for one in lines] == ["reference", "0000", "0001", "0002"]
    assert {"targets, layers", "settings", "reason"} <= set(re.split(r"  +", heading.strip()))
    assert re.search(r"0000 +finished +lora +qv, all +100 +0\.6000 .* rank 2, lr 0\.001", lines[1])
    assert "settings" not in printed(document, 60)[0]


def test_one_point_is_the_best_and_the_knee() -> None:
    document = build_front(search_row(), TRIALS[:2], confirmed=False, axis="trainable")
    *_, line = printed(document)
    assert line.split() == ["0000", "lora", "100", "0.010%", "60.0%", "400", "B", "best,", "knee"]


def test_no_point_that_does_not_beat_the_head_has_a_mark() -> None:
    rows = [REFERENCE, trial_row("0000", 0.45, 100), trial_row("0001", 0.5, 1000)]
    document = build_front(search_row(), rows, confirmed=False, axis="trainable")
    assert [line.split()[-1] for line in printed(document)[-2:]] == ["B", "kB"]
    assert (
        answer_note(document)
        == "No trial of this front beats the head alone (50.0%), so it has no best point and no knee."
    )
    unmeasured = build_front(search_row(), rows[1:], confirmed=False, axis="trainable")
    assert answer_note(unmeasured).startswith("The head alone was not measured, so no trial is known to beat it")


def test_a_best_point_that_only_the_confirmed_front_has_is_named() -> None:
    rows = [REFERENCE, *TRIALS[1:3], trial_row("0002", 0.76, 20_000, confirmed_quality=0.55)]
    rows.append(trial_row("0003", 0.755, 21_000, confirmed_quality=0.77))
    document = build_front(search_row(), rows, confirmed=False, axis="trainable")
    assert [line.split()[-1] for line in printed(document)[-3:]] == ["B", "kB", "kB"]
    assert answer_note(document).endswith(" did worse when they were confirmed: 0003 (best, knee).")


def confirmed_front(trainings: Sequence[tuple[str, int, Sequence[float]]], rows: int | None) -> FrontDocument:
    """Of trials with qualities on fresh seeds, which are shares of the rows; None: of these nothing was recorded."""
    found = [REFERENCE]
    for trial, parameters, qualities in trainings:
        mean = statistics.fmean(qualities)
        found.append(trial_row(trial, mean, parameters, confirmed_quality=mean, confirmed_seeds=len(qualities)))
        for number, quality in enumerate(qualities):
            again = trial_row(f"{trial}-confirm-{number}", quality, parameters, kind="confirmation")
            kept = None if rows is None else pack(np.random.default_rng(number).permutation(rows) < quality * rows)
            found.append(replace(again, row_values=kept))
    return build_front(search_row(), found, confirmed=True, axis="trainable")


def test_the_note_says_what_is_told_apart_and_by_what() -> None:
    two = [("0000", 100, [0.512]), ("0001", 200, [0.818])]
    assert ties_note(confirmed_front(two, 1_000)) == (
        "Told apart with 95% confidence. This rests on 1,000 validation rows of one fresh training each; "
        "another seed may change it."
    )
    assert ties_note(confirmed_front(two, None)) == (
        "Not told apart with 95% confidence: 0000 and 0001. There is one fresh training of each, and its outcomes by "
        "row are not known."
    )
    more = [("0000", 100, [0.8, 0.81]), ("0001", 200, [0.81, 0.82, 0.8])]
    assert ties_note(confirmed_front(more, 1_000)) == (
        "Not told apart with 95% confidence: 0000 and 0001. This rests on 2 to 3 fresh trainings of each and 1,000 "
        "validation rows."
    )
    assert ties_note(confirmed_front(more, None)).endswith(
        "2 to 3 fresh trainings of each; the error of the validation rows is not known."
    )
    assert ties_note(confirmed_front(two[:1], 1_000)) == ""
    assert "ties" not in build_front(search_row(), TRIALS, confirmed=False, axis="trainable").model_dump()


def test_the_title_of_a_confirmed_front_says_that_it_is_one() -> None:
    document = confirmed_front([("0000", 100, [0.6]), ("0001", 200, [0.8])], 1_000)
    tables = [front_table(document, confirmed=confirmed).full for confirmed in (True, False)]
    assert [str(table.title).partition(": up to")[0] for table in tables] == ["demo, confirmed", "demo"]


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
    assert list(lines[0])[: len(FrontPoint.model_fields)] == list(FrontPoint.model_fields)
    shown = {name: lines[0][name] for name in ("targets", "layers", "size", "learning_rate", "other_settings")}
    assert shown == {
        "targets": "qv",
        "layers": "all",
        "size": "rank 2",
        "learning_rate": "0.001",
        "other_settings": "frozen false",
    }
    assert float(lines[1]["of_base"]) == 1000 / document.base_parameters
    assert [line["trial"] for line in lines] == ["0000", "0001", "0002"]
    assert json.loads(lines[1]["config"]) == document.front[1].config
    assert float(lines[1]["confirmed_std"]) == 0.01
    assert lines[0]["confirmed_quality"] == ""
