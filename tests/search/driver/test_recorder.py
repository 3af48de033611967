"""The driver's picture of a running search, against the plain definitions."""

from __future__ import annotations

import shutil
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.driver.recorder import Recorder
from spaces.model.budget import Budget
from spaces.pareto.front import front
from spaces.spec.metrics import METRICS
from spaces.trials.ledger import Ledger
from spaces.trials.records import State, TrialResult
from tests.tracking.examples import make_spec, plan
from tracking.queries import trials_document
from tracking.writing.search_writer import SearchWriter

ENDS = st.lists(
    st.tuples(st.integers(1, 20), st.sampled_from([0.5, 0.6, 0.7, 0.8]), st.sampled_from(["finished", "stopped"])),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=ENDS, data=st.data())
def test_the_front_is_that_of_all_trials_in_whatever_order_they_end(
    ends: list[tuple[int, float, State]], data: st.DataObject, tmp_path_factory: object
) -> None:
    home = Path(str(tmp_path_factory.mktemp("search")))  # type: ignore[attr-defined]
    spec = make_spec(home)
    spec.home.mkdir(exist_ok=True)
    writer = SearchWriter("http://127.0.0.1:1", spec, "id", spec.home)  # nothing answers: events wait on the disk
    ledger = Ledger(spec.home)
    recorder = Recorder(ledger, writer, Budget(50_000, 1), METRICS["accuracy"], rejected=2)
    plans = [plan(f"{number:04d}", parameters=size) for number, (size, _, _) in enumerate(ends)]
    for number in data.draw(st.permutations(range(len(ends)))):
        _, quality, state = ends[number]
        ledger.trial(plans[number].trial).write_plan(plans[number])
        result = TrialResult(state=state, quality=quality if state == "finished" else None, reason="behind", steps=9)
        ledger.trial(plans[number].trial).write_result(result)
        recorder.started(plans[number])
        recorder.finished(plans[number])
    writer.close(0)
    finished = [(one, quality) for one, (_, quality, state) in zip(plans, ends, strict=True) if state == "finished"]
    expected = front(finished, lambda one: one[1], lambda one: one[0].trainable_parameters, "max")
    assert [one.plan.trial for one in recorder.front] == [one.trial for one, _ in expected]
    recorder.reject()
    assert recorder.rejected == 3


def test_a_trial_whose_workers_died_before_it_began_has_a_run(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    spec = make_spec(tmp_path)
    writer = SearchWriter(uri, spec, "id", spec.home)
    ledger = Ledger(spec.home)
    writer.start_search(Budget(50_000, 1), 1_000_000, 770)
    recorder = Recorder(ledger, writer, Budget(50_000, 1), METRICS["accuracy"])
    lost = plan("0000")
    ledger.trial(lost.trial).write_plan(lost)
    ledger.trial(lost.trial).write_result(TrialResult(state="failed", reason="its worker process died"))
    recorder.finished(lost)
    assert writer.close(60) == 0
    [entry] = trials_document(uri, spec.name).trials
    assert (entry.trial, entry.state, entry.reason) == ("0000", "failed", "its worker process died")
