"""Which trial of a search is exported, and what is said of the choice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from search.documents.service import Format
from search.exporting import Choice, Exported, choice_note, export
from search.service.jobs.exports import PATTERN, Export
from spaces.errors import NoAnswer, RequestError
from tests.search.written_searches import write_search
from tests.tracking.examples import REFERENCE, search_row, trial_row
from tracking.mlflow_store.run_records import TrialRun
from trainables.exporting.export import Proof

SMALL = trial_row("0000", 0.6, 10)
MIDDLE = trial_row("0001", 0.8, 100, confirmed_quality=0.79)
LUCKY = trial_row("0002", 0.81, 900, confirmed_quality=0.7)
TRIALS = [REFERENCE, SMALL, MIDDLE, LUCKY]
BEST, KNEE = Choice(None, True, False, None), Choice(None, False, True, None)
SEARCH = search_row()


def within(parameters: int) -> Choice:
    return Choice(parameters, best=False, knee=False, trial=None)


def test_confirmed_points_are_trusted_before_lucky_ones() -> None:
    assert BEST.of(SEARCH, TRIALS) == MIDDLE
    unconfirmed = [REFERENCE, SMALL, trial_row("0001", 0.8, 100), trial_row("0002", 0.81, 900)]
    assert BEST.of(SEARCH, unconfirmed) == unconfirmed[-1]
    assert KNEE.of(SEARCH, unconfirmed) == unconfirmed[2]


def test_the_knee_of_a_confirmed_front_is_by_confirmed_quality() -> None:
    low, bent, high = (
        trial_row(f"000{number}", quality, size, confirmed_quality=confirmed)
        for number, (size, quality, confirmed) in enumerate([(10, 0.52, 0.52), (30, 0.53, 0.79), (900, 0.8, 0.8)])
    )
    assert KNEE.of(SEARCH, [REFERENCE, low, bent, high]) == bent


def test_a_limit_is_kept_and_a_confirmed_point_below_the_head_is_not_taken() -> None:
    assert within(99).of(SEARCH, TRIALS) == SMALL
    with pytest.raises(
        RequestError, match="--max-parameters 9: no trial so small beats the head alone; allowed: at least 10"
    ):
        within(9).of(SEARCH, TRIALS)
    debunked = trial_row("0003", 0.65, 20, confirmed_quality=0.45)
    assert within(99).of(SEARCH, [*TRIALS, debunked]) == SMALL
    with pytest.raises(RequestError, match="allowed: at least 100"):
        within(20).of(SEARCH, [REFERENCE, debunked, MIDDLE])


@pytest.mark.parametrize(
    "trials",
    [
        [REFERENCE],
        [REFERENCE, trial_row("0000", 0.5, 10)],
        [SMALL],
        [REFERENCE, trial_row("0000", 0.4, 9, confirmed_quality=0.3)],
    ],
)
@pytest.mark.parametrize("choice", [BEST, KNEE, within(100)])
def test_nothing_is_exported_unasked_where_no_trial_beats_the_head(trials: list[TrialRun], choice: Choice) -> None:
    with pytest.raises(NoAnswer, match="export demo: no trial is known to beat the head alone"):
        choice.of(SEARCH, trials)


def test_it_is_said_of_which_front_the_choice_is() -> None:
    assert choice_note(BEST, "accuracy", MIDDLE, TRIALS) == "it is the best by confirmed accuracy, 0.7900"
    assert choice_note(KNEE, "accuracy", SMALL, [SMALL]) == "it is the knee by accuracy of one training, 0.6000"
    within_99 = "it is the best within 99 parameters by accuracy of one training, 0.6000"
    assert choice_note(within(99), "accuracy", SMALL, TRIALS) == f"{within_99}, for no confirmed point there is as good"


@pytest.mark.parametrize(
    "ordered",
    [
        Export("0004", "peft", None),
        Export("0004", "peft", None, rows=False),
        Export("12345", "merged", None, rows=False),
        Export("0004", "lora", None),
        Export("0004", "lora", 0.25),
        Export("0004", "lora", 1e-12),
    ],
    ids=str,
)
def test_an_export_of_the_service_is_known_by_its_identity(ordered: Export) -> None:
    assert re.fullmatch(PATTERN, ordered.identity)
    assert Export.parse(ordered.identity) == ordered


@pytest.mark.parametrize(
    ("form", "proof", "note", "lines"),
    [
        ("peft", Proof(2e-7), None, ["verified in a fresh process: the largest difference of its logits is 2e-07"]),
        ("stock", Proof(2e-7), "a note", ["a note", "verified in a fresh process, by PEFT alone: the largest"]),
        ("merged", Proof(0.0, weights="bfloat16"), None, [", its weights are bfloat16"]),
        ("lora", Proof(before=0.8, after=0.75), None, ["accuracy on validation: 0.8000 as trained, 0.7500 as LoRA"]),
    ],
)
def test_an_export_says_what_was_written_and_proven(
    form: Format, proof: Proof, note: str | None, lines: list[str]
) -> None:
    told = str(Exported(Path("out"), "0003", "sparta", 1234, "accuracy", form, note, proof)).splitlines()
    assert told[0] == "exported trial 0003 (sparta, 1,234 parameters) to out"
    assert len(told) == 1 + len(lines)
    for line, expected in zip(told[1:], lines, strict=True):
        assert expected in line


def test_a_wrong_choice_is_refused_before_mlflow_is_asked(tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(RequestError, match="--best, --knee and --trial exclude each other"):
        export("mine", tmp_path / "out", knee=True, trial="0001", tracking_uri=nowhere)
    with pytest.raises(RequestError, match="--rank 8: says nothing of format peft"):
        export("mine", tmp_path / "out", rank=8, tracking_uri=nowhere)
    with pytest.raises(RequestError, match=r"mlflow\.db"):
        export("mine", tmp_path / "out", tracking_uri=nowhere)


def test_only_a_finished_trial_is_exported(tmp_path: Path) -> None:
    write_search(tmp_path, "mine", (0.6, 0.7))
    for trial in ("0009", "reference"):
        with pytest.raises(RequestError, match=f"--trial {trial}: no finished trial; allowed: 0000, 0001"):
            export(
                "mine", tmp_path / "out", trial=trial, storage=tmp_path, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db"
            )
    assert not (tmp_path / "out").exists()
