"""`export` from a service: what is refused before it is asked. Downloads are in tests/search/service."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.export import export_from
from search.exporting import Choice
from spaces.errors import RequestError, WorkError

NOWHERE = "http://127.0.0.1:1"
BEST = Choice(None, best=True, knee=False, trial=None)


@pytest.mark.parametrize(
    ("choice", "form", "rank", "message"),
    [
        (Choice(None, best=True, knee=True, trial=None), "peft", None, "--best, --knee and --trial exclude each other"),
        (Choice(9, best=False, knee=False, trial="0001"), "peft", None, "--trial and --max-parameters exclude"),
        (BEST, "peft", 4.0, "--rank 4: says nothing of format peft"),
        (BEST, "lora", 1.5, "--rank 1.5: no rank; allowed: a whole number"),
    ],
)
def test_a_wrong_request_is_refused_before_the_service_is_asked(
    tmp_path: Path, choice: Choice, form: object, rank: float | None, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        export_from(NOWHERE, "mine", tmp_path / "out", choice, form, rank)  # type: ignore[arg-type]


def test_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"exists; allowed: a new folder"):
        export_from(NOWHERE, "mine", tmp_path, BEST, "peft", None)


def test_a_service_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=f"--server {NOWHERE}: does not answer"):
        export_from(NOWHERE, "mine", tmp_path / "out", BEST, "peft", None)
    assert not (tmp_path / "out").exists()
