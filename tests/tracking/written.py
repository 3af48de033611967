"""A search written to MLflow as a driver does."""

from __future__ import annotations

from spaces.model.budget import Budget
from spaces.spec.spec import SearchSpec
from tests.tracking.examples import finished, plan
from tracking.writing.search_writer import SearchWriter


def write(uri: str, spec: SearchSpec, search_id: str, qualities: list[float], *, end: bool = True) -> None:
    """A search whose trials train 1000, 2000 … parameters."""
    writer = SearchWriter(uri, spec, search_id, spec.home / search_id)
    writer.start_search(Budget(50_000, 50), 1_000_000, 770)
    reference = plan("reference", kind="reference", parameters=0)
    writer.start_trial(reference)
    writer.end_trial(reference, finished(0.5))
    for number, quality in enumerate(qualities):
        one = plan(f"{number:04d}", parameters=1000 * (number + 1))
        writer.start_trial(one)
        writer.end_trial(one, finished(quality))
    writer.log_counts(finished=len(qualities), stopped=0, failed=0, rejected=2, hypervolume=0.25)
    if end:
        writer.end_search("finished")
    assert writer.close(60) == 0
