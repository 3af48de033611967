"""What a search says at its end, and when it is cut off."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.driver import preflight
from search.driver.conclusion import conclude
from search.driver.launch import _keep_again, resumable, search
from search.driver.summary import summary_of
from search.storage import search_folder
from spaces.errors import RequestError, WorkError
from spaces.spec.own_metric import function_of
from tests.conftest import Workplace
from tests.search.processes import wait_for
from tests.tracking.examples import REFERENCE, make_spec, search_row, trial_row


@pytest.mark.parametrize(
    ("trials", "limit", "expected"),
    [
        (2, None, None),
        (3, None, "2 of 3 trials: no configuration was found that lies within the budget and was not tried."),
        (3, 70, "2 of 3 trials: search.max_total_steps = 70 leaves no room for another."),
        (3, 700, "2 of 3 trials: no configuration was found that lies within the budget and was not tried."),
    ],
)
def test_fewer_trials_than_asked_for_are_explained(
    tmp_path: Path, trials: int, limit: int | None, expected: str | None
) -> None:
    spec = make_spec(tmp_path)
    spec = spec.model_copy(
        update={
            "search": spec.search.model_copy(update={"trials": trials, "max_total_steps": limit}),
            "training": spec.training.model_copy(update={"max_steps": 30}),
        }
    )
    rows = [REFERENCE, trial_row("0000", 0.7, 100), trial_row("0001", 0.8, 200)]
    printed = io.StringIO()
    summary = summary_of(search_row(), rows, waiting=0)
    assert conclude(summary, spec, Console(file=printed, width=200)) == 0
    told = [line for line in printed.getvalue().splitlines() if " of 3 trials: " in line]
    assert told == ([] if expected is None else [expected])


def test_a_search_takes_the_fields_of_a_spec_and_the_path_of_one(tmp_path: Path) -> None:
    """Each is read as `paretune search` reads a spec, and its faults are told in the same words."""
    with pytest.raises(RequestError, match=r"^budgt: unknown field"):
        search({"name": "mine", "budgt": {"parameters": "1%"}})
    with pytest.raises(RequestError, match=r"nowhere\.yaml"):
        search(tmp_path / "nowhere.yaml")


def test_a_resume_is_given_the_function_that_the_search_began_with(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    own = spec.model_copy(update={"objective": spec.objective.model_copy(update={"metric": "own:<lambda>"})})
    with pytest.raises(RequestError, match=r"metric: search 'demo' began with metric accuracy; allowed: none"):
        _keep_again(lambda found, wanted: 1.0, spec)
    _keep_again(lambda found, wanted: 0.25, own)
    assert function_of("own:<lambda>")([], []) == 0.25


@pytest.mark.slow
@pytest.mark.parametrize(("written", "expected"), [(False, "interrupted"), (True, "`paretune resume mine` goes on")])
def test_a_search_that_is_cut_off_can_be_resumed_once_it_is_written(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, written: bool, expected: str
) -> None:
    def interrupt(spec: object, announced: object) -> None:
        if written:
            made = workplace.home / search_folder.SPEC
            made.parent.mkdir(parents=True)
            made.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(preflight, "prepare", interrupt)
    done = workplace.call("search", str(workplace.spec()))
    assert done.returncode == 1
    assert done.stderr.strip().endswith(expected)
    assert workplace.home.exists() == written


@pytest.mark.integration
def test_a_search_in_a_process_of_its_own(workplace: Workplace) -> None:
    wrong = workplace.spec("wrong", data={"label": "nowhere"})
    refused = workplace.call("launch", str(wrong))
    assert refused.returncode == 2
    assert "nowhere" in refused.stderr
    spec = workplace.spec(training={"max_steps": 400}, search={"trials": 30})
    done = workplace.call("launch", str(spec))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("search mine runs; ")
    assert workplace.call("launch", str(spec)).stdout.startswith("search mine was launched before; ")
    assert workplace.call("launch", str(spec), "--set", "search.seed=1").stderr == (
        "paretune: name = mine: in use; allowed: a new name, or `paretune resume mine`\n"
    )

    def status() -> dict[str, Any]:
        """Nothing until MLflow has heard of it, which takes a moment."""
        said = workplace.call("status", "mine", "--json")
        return json.loads(said.stdout) if said.returncode == 0 else {"progress": 0}

    wait_for(lambda: status()["progress"])
    running = status()
    assert (running["state"], running["planned"]) == ("running", 30)
    assert running["progress"] < 1
    assert workplace.call("stop", "mine").returncode == 0
    wait_for(lambda: workplace.read("status", "mine")["state"] == "stopped")
    stopped = workplace.read("status", "mine")
    assert 0 < stopped["trials"]["finished"] < 30
    front = workplace.read("front", "mine")
    assert (stopped["best"], stopped["knee"]) == (front["best"], front["knee"])


def test_a_search_that_has_come_to_its_end_is_not_stopped(workplace: Workplace) -> None:
    workplace.home.mkdir(parents=True)
    (workplace.home / search_folder.SPEC).touch()
    search_folder.mark_finished(workplace.home)
    done = workplace.call("stop", "mine")
    assert (done.returncode, done.stderr) == (2, "paretune: stop mine: is finished; allowed: a search that runs\n")


def test_a_full_disk_is_told_with_its_file_and_how_to_go_on(tmp_path: Path) -> None:
    home = tmp_path / "mine"
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(home / "outbox.jsonl"))
    told = f"{home / 'outbox.jsonl'}: No space left on device"
    with pytest.raises(WorkError, match=f"^{re.escape(told)}$"), resumable(home):
        raise full
    home.mkdir()
    (home / "spec.yaml").touch()  # from now on there is a search to go on with
    more = "; once that is mended, `paretune resume mine` goes on"
    with pytest.raises(WorkError, match=f"^{re.escape(told + more)}$"), resumable(home):
        raise full
