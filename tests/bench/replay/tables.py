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


def task_tables(
    task: str, reached: Mapping[Case, Volumes], stopped: Mapping[Case, Stops], policies: Iterable[str]
) -> Iterator[Table]:
    """What the policies came to on a task."""
    names, mine = list(policies), {case: one for case, one in reached.items() if case[0] == task}
    yield _by_slots(
        f"{task}: steps until the hypervolume of {FULL_TRIALS} full random trials, over the steps of these; median of "
        "the worlds (share of them that reached it)",
        {
            case: f"{'more' if one.steps_ratio is None else f'{one.steps_ratio:.2f}'} ({one.reached:.0%})"
            for case, one in mine.items()
        },
        names,
    )
    yield _by_slots(
        f"{task}: hypervolume after the steps of {FULL_TRIALS} full trials, median by true quality (as measured)",
        {case: f"{one.hypervolume:.3f} ({one.measured:.3f})" for case, one in mine.items()},
        names,
    )
    yield _stops_table(task, {case: one for case, one in stopped.items() if case[0] == task})


def _by_slots(title: str, cells: Mapping[Case, str], policies: Iterable[str]) -> Table:
    columns = dict.fromkeys((task, slots) for task, slots, _ in cells)
    table = Table(title=title)
    table.add_column("policy")
    for _, slots in columns:
        table.add_column(f"{slots} at once", justify="right")
    for policy in policies:
        table.add_row(policy, *(cells.get((task, slots, policy), "not installed") for task, slots in columns))
    return table


def _stops_table(task: str, cells: Mapping[Case, Stops]) -> Table:
    table = Table(
        title=f"{task}: searches of {STOPPED_TRIALS} trials against the same configurations in full, means. Lost: "
        "points of the full front; missed: those that no finished trial comes near; harm: true hypervolume less"
    )
    for column in ("policy", "at once", "stopped", "saved", "lost", "none lost", "missed", "harm"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for (_, slots, policy), one in cells.items():
        parts = (f"{one.stopped:.0%}", f"{one.saved:.0%}", f"{one.lost:.2f}/{one.points:.1f}", f"{one.kept:.0%}")
        table.add_row(policy, str(slots), *parts, f"{one.missed:.2f}", f"{one.harm:.4f}")
    return table
