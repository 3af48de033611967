"""The figures of a replay, to be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.table import Table

from tests.bench.replay.figures import Case, Stops, Volumes
from tests.bench.replay.jobs import FULL_TRIALS, STOPPED_TRIALS
from tests.bench.replay.surrogate import Surrogate
from tests.bench.replay.world import noise_of


def surrogates_table(surrogates: Iterable[Surrogate]) -> Table:
    """How far the surrogates can be trusted."""
    shown = Table(title="Gaussian processes on the table, each configuration left out in turn, and the noise")
    for column in ("task", "configurations", "steps", "R²", "Spearman", "deviation between seeds"):
        shown.add_column(column, justify="left" if column == "task" else "right")
    for one in surrogates:
        columns = zip(one.task.steps, one.explained(), one.ranked(), noise_of(one).deviations, strict=True)
        for number, (step, explained, ranked, noise) in enumerate(columns):
            first = (one.task.name, str(len(one.task.first))) if number == 0 else ("", "")
            shown.add_row(*first, str(step), f"{explained:.2f}", f"{ranked:.2f}", f"{noise:.4f}")
    return shown


def volume_tables(found: Mapping[Case, Volumes], policies: Iterable[str], worlds: int) -> Iterator[Table]:
    """Steps to what full random trials reach, and what equal steps give."""
    yield _table(
        f"steps until the hypervolume of {FULL_TRIALS} full random trials over the steps of these, median of {worlds} "
        "worlds (share that reached it)",
        {case: f"{one.steps_ratio:.2f} ({one.reached:.0%})" for case, one in found.items()},
        policies,
    )
    yield _table(
        f"hypervolume after the steps of {FULL_TRIALS} full trials, median, by true quality (as measured)",
        {case: f"{one.hypervolume:.3f} ({one.measured:.3f})" for case, one in found.items()},
        policies,
    )


def stops_table(found: Mapping[Case, Stops]) -> Table:
    """What the stoppers did."""
    return _table(
        f"searches of {STOPPED_TRIALS} trials against the same in full, means: trials stopped, steps saved; points of "
        "the front lost, searches that lost none; true hypervolume lost",
        {case: _stops(one) for case, one in found.items()},
        dict.fromkeys(policy for _, _, policy in found),
    )


def _stops(one: Stops) -> str:
    return f"{one.stopped:.0%} {one.saved:.0%}; {one.lost:.2f} of {one.points:.1f}, {one.kept:.0%}; {one.harm:.4f}"


def _table(title: str, cells: Mapping[Case, str], policies: Iterable[str]) -> Table:
    columns = list(dict.fromkeys((task, slots) for task, slots, _ in cells))
    table = Table(title=title)
    table.add_column("policy")
    for task, slots in columns:
        table.add_column(f"{task}\n{slots} at a time", justify="right")
    for policy in policies:
        table.add_row(policy, *(cells.get((task, slots, policy), "not installed") for task, slots in columns))
    return table
