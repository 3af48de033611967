"""Whatever one training meets, the search goes on and says so."""

from __future__ import annotations

import json
import math
from pathlib import Path

import psutil
import pytest

from tests.conftest import Workplace
from tests.search.processes import wait_for, workers

pytestmark = pytest.mark.integration


@pytest.mark.cluster
def test_a_dead_worker_is_replaced_and_its_trial_goes_on(workplace: Workplace) -> None:
    spec = workplace.spec(training={"max_steps": 540}, search={"trials": 2, "rungs": 3})
    driver = workplace.start("search", str(spec))
    first = workplace.home / "trials" / "0000"
    wait_for(lambda: (first / "checkpoint.pt").exists(), driver)
    victims = workers(psutil.Process(driver.pid).children(recursive=True))
    assert victims
    for victim in victims:
        victim.kill()
    _output, errors = driver.communicate(timeout=200)
    assert driver.returncode == 0, errors
    trials = workplace.read("trials", "mine")["trials"]
    assert [trial["state"] for trial in trials] == ["finished", "finished"]
    rungs = json.loads((first / "result.json").read_text())["rungs"]
    assert [rung["step"] for rung in rungs] == [60, 180, 540]


def test_the_test_split_is_not_read_before_confirm(workplace: Workplace) -> None:
    broken = workplace.folder / "test.csv"
    broken.write_text("text,label\nfine words,unheard of\n")
    confirm = {"top": 1, "seeds": 1}
    spec = workplace.spec(data={"test": str(broken)}, training={"max_steps": 180}, confirm=confirm)
    done = workplace.call("search", str(spec))
    assert done.returncode == 1
    assert "data.test" in done.stderr
    assert "resume mine" in done.stderr
    trials = workplace.read("trials", "mine")
    assert [trial["state"] for trial in trials["trials"]] == ["finished"] * 4
    broken.write_text((workplace.data / "test.csv").read_text())
    done = workplace.call("resume", "mine")
    assert done.returncode == 0, done.stderr
    front = workplace.read("front", "mine", "--confirmed")["front"]
    assert front[0]["test_quality"] is not None


def test_a_diverging_trial_fails_alone(workplace: Workplace) -> None:
    methods = [{"lora": {"learning_rate": [1e18], "rank": 1}}, {"sparta": {"learning_rate": 1e-3}}]
    spec = workplace.spec(methods=methods, search={"trials": 4, "rungs": 1})
    done = workplace.call("search", str(spec))
    assert done.returncode == 0, done.stderr
    trials = workplace.read("trials", "mine")["trials"]
    failed = [trial for trial in trials if trial["method"] == "lora"]
    assert failed
    assert all(trial["state"] == "failed" for trial in failed)
    assert all("nan" in trial["reason"] or "inf" in trial["reason"] or "number" in trial["reason"] for trial in failed)
    assert all(trial["quality"] is None for trial in failed)
    assert all(trial["state"] == "finished" for trial in trials if trial["method"] == "sparta")
    assert workplace.read("doctor", "mine")["healthy"]


def test_asha_stops_trials_that_are_told_as_stopped(workplace: Workplace) -> None:
    spec = workplace.spec(
        objective={"metric": "loss"},
        training={"max_steps": 27},
        search={"trials": 10, "rungs": 3, "stopper": "asha", "concurrent": 2},
    )
    done = workplace.call("search", str(spec))
    assert done.returncode == 0, done.stderr
    trials = workplace.read("trials", "mine")["trials"]
    stopped = [trial for trial in trials if trial["state"] == "stopped"]
    assert stopped
    assert all(trial["quality"] is None and trial["steps"] < 27 and trial["reason"] for trial in stopped)
    assert {trial["state"] for trial in trials} == {"finished", "stopped"}
    front = workplace.read("front", "mine")
    assert not {point["trial"] for point in front["front"]} & {trial["trial"] for trial in stopped}
    assert workplace.read("doctor", "mine")["healthy"]


def test_the_stopper_that_knows_the_front_stops_whom_its_rule_says_beside_trials_that_fail(
    workplace: Workplace,
) -> None:
    spec = workplace.spec(
        objective={"metric": "loss"},
        budget={"parameters": 300, "at_least": 100},
        methods=[{"sparta": {"learning_rate": [1e-3, 30.0]}}, {"lora": {"learning_rate": [1e18], "rank": 1}}],
        training={"max_steps": 27, "head_learning_rate": 0.5},
        search={"trials": 12, "rungs": 3, "stopper": "front"},
    )
    done = workplace.call("search", str(spec))
    assert done.returncode == 0, done.stderr
    trials = workplace.read("trials", "mine")["trials"]
    assert {trial["state"] for trial in trials} == {"finished", "stopped", "failed"}
    rows = len((workplace.data / "validation.csv").read_text().splitlines()) - 1
    seen: dict[int, list[tuple[int, float]]] = {3: [], 9: []}
    for trial in trials:  # one after the other
        size, behind = trial["trainable_parameters"], False
        record = json.loads((workplace.home / "trials" / trial["trial"] / "result.json").read_text())
        if trial["state"] == "failed":
            continue
        for rung in record["rungs"][:2]:
            others, loss = seen[rung["step"]], rung["quality"]
            best = min((other for count, other in others if count <= size), default=math.inf)
            near = [other for count, other in others if region(count) == region(size)]
            margin = math.hypot(loss, best) / math.sqrt(rows)
            behind = behind or (loss - best > margin and loss >= min(near))
            others.append((size, loss))
        assert (trial["state"] == "stopped") == behind
    assert workplace.read("doctor", "mine")["healthy"]


def region(parameters: int) -> int:
    return math.floor(2 * math.log10(parameters))


def test_a_limit_on_steps_ends_a_search_with_its_front(workplace: Workplace) -> None:
    spec = workplace.spec(search={"trials": 4, "max_total_steps": 20})
    done = workplace.call("search", str(spec))
    assert done.returncode == 0, done.stderr
    assert "2 of 4 trials: search.max_total_steps = 20 leaves no room for another." in done.stdout + done.stderr
    trials = workplace.read("trials", "mine")["trials"]
    assert [(trial["state"], trial["steps"]) for trial in trials] == [("finished", 9)] * 2
    assert workplace.read("front", "mine")["front"]
    assert workplace.call("resume", "mine").returncode == 0
    assert workplace.read("trials", "mine")["trials"] == trials


@pytest.mark.cluster
def test_a_limit_of_time_ends_a_search_with_its_front_and_a_resume_goes_on(workplace: Workplace) -> None:
    spec = workplace.spec(search={"trials": 300, "rungs": 1, "time_limit": 30})
    done = workplace.call("search", str(spec))
    assert done.returncode == 0, done.stderr
    assert "search.time_limit = 30 s has passed" in done.stdout + done.stderr
    before = workplace.read("trials", "mine")["trials"]
    assert workplace.read("front", "mine")["front"]
    assert workplace.read("doctor", "mine")["healthy"]
    done = workplace.call("resume", "mine")
    assert done.returncode == 0, done.stderr
    after = workplace.read("trials", "mine")["trials"]
    finished = [[one["trial"] for one in found if one["state"] == "finished"] for found in (before, after)]
    assert set(finished[0]) < set(finished[1])
    assert workplace.read("doctor", "mine")["healthy"]


TRIALS = 5
"""More than those that fail before a search is given up."""

NAMES = [f"{number:04d}" for number in range(TRIALS)]


def spoil(place: Workplace, *trainings: str) -> list[Path]:
    """Have the end of these trainings fail: where they put their adapter first there is a file."""
    blocks = [place.home / "trials" / one / ".adapter" for one in trainings]
    for block in blocks:
        block.parent.mkdir(parents=True)
        block.touch()
    return blocks


def mended(place: Workplace, blocks: list[Path]) -> None:
    """Take away what made trainings fail; a resume then trains every one of them."""
    for block in blocks:
        block.unlink()
    done = place.call("resume", "mine")
    assert done.returncode == 0, done.stderr
    document = place.read("trials", "mine")
    assert [(one["trial"], one["state"]) for one in document["trials"]] == [(name, "finished") for name in NAMES]
    assert document["reference"]["state"] == "finished"
    assert not any(one["reason"] for one in document["trials"])
    assert place.read("status", "mine")["state"] == "finished"
    assert place.read("doctor", "mine")["problems"] == []


def given_up(place: Workplace) -> str:
    """Why the search that ended early was given up, by all that say so."""
    status = place.read("status", "mine")
    assert status["state"] == "failed"
    assert f"failed: {status['message'].partition(':')[0]}" in place.call("status", "mine").stdout
    assert place.read("doctor", "mine")["problems"] == []
    assert [one["state"] for one in place.read("searches")["searches"]] == ["failed"]
    return str(status["message"])


def test_a_search_whose_reference_fails_ends_with_the_reason(workplace: Workplace) -> None:
    spec = workplace.spec(search={"trials": TRIALS, "rungs": 1})
    blocks = spoil(workplace, "reference")
    done = workplace.call("search", str(spec))
    assert done.returncode == 1
    reason = given_up(workplace)
    assert reason.startswith("its reference, the task head alone, failed: FileExistsError: ")
    assert done.stderr == (
        f"paretune: search 'mine' was given up: {reason}; once that is mended, `paretune resume mine` tries again\n"
    )
    document = workplace.read("trials", "mine")
    assert document["reference"]["state"] == "failed"
    assert {one["state"] for one in document["trials"]} <= {"running"}  # none was begun after it
    mended(workplace, blocks)


def test_a_search_whose_first_trials_all_fail_alike_ends_with_the_reason(workplace: Workplace) -> None:
    spec = workplace.spec(search={"trials": TRIALS, "rungs": 1})
    blocks = spoil(workplace, *NAMES)
    for command in (("search", str(spec)), ("resume", "mine")):  # and again, for nothing was mended
        done = workplace.call(*command)
        assert done.returncode == 1
        reason = given_up(workplace)
        assert reason.startswith("its first 3 trials all failed alike: FileExistsError: ")
        assert done.stderr.count("\n") == 1
        assert reason in done.stderr
        document = workplace.read("trials", "mine")
        assert [one["state"] for one in document["trials"]].count("failed") == 3
        assert {one["state"] for one in document["trials"][3:]} <= {"running"}
    mended(workplace, blocks)


def test_what_runs_beside_the_last_failure_is_ended_and_goes_on_later(workplace: Workplace) -> None:
    spec = workplace.spec(search={"trials": TRIALS, "rungs": 1, "concurrent": 2}, training={"max_steps": 60})
    blocks = spoil(workplace, *NAMES)
    done = workplace.call("search", str(spec))
    assert done.returncode == 1
    assert "all failed alike: FileExistsError" in given_up(workplace)
    states = [one["state"] for one in workplace.read("trials", "mine")["trials"]]
    assert states.count("failed") in (3, 4)  # the other one may end before it is ended
    assert set(states) <= {"failed", "running"}
    mended(workplace, blocks)


def test_failures_that_are_not_alike_do_not_end_a_search(workplace: Workplace) -> None:
    """Half of the trials cannot be written, the others diverge."""
    spec = workplace.spec(methods=[{"lora": {"learning_rate": [1e18]}}, "sparta"], search={"trials": 8, "rungs": 1})
    spoil(workplace, *(f"{number:04d}" for number in range(8)))
    done = workplace.call("search", str(spec))
    assert done.returncode == 1
    assert "No trial finished" in done.stdout
    trials = workplace.read("trials", "mine")["trials"]
    assert [one["state"] for one in trials] == ["failed"] * 8
    assert len({one["reason"].split(":")[0] for one in trials}) > 1
    assert workplace.read("doctor", "mine")["healthy"]
