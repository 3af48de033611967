"""The end of a search on the terminal: its fronts, what is missing, and how to go on."""

from __future__ import annotations

from rich.console import Console

from search.driver.summary import HTML, PNG, Summary
from spaces.spec.spec import SearchSpec
from tracking.reports.tables import answer_note, front_table, ties_note


def conclude(summary: Summary, spec: SearchSpec, console: Console) -> int:
    """Print the front and the paths of its pictures.

    Returns:
        The exit code: 1 when no trial finished, else 0.
    """
    console.print(front_table(summary.front))
    _say(answer_note(summary.front), console)
    if summary.confirmed.front:
        console.print(front_table(summary.confirmed, confirmed=True))
        _say(ties_note(summary.confirmed), console)
    for note in (*_notes(summary, spec), _ending(summary, spec)):
        _say(note, console)
    if not summary.front.front:
        console.print(f"No trial finished; `paretune trials {spec.name}` says why.")
        return 1
    for picture in (HTML, PNG):
        _say(f"wrote {spec.home / picture}", console)
    return 0


def _notes(summary: Summary, spec: SearchSpec) -> list[str]:
    notes = []
    if summary.near_head:
        notes.append(
            "The best trial is not told apart from the head alone: more validation rows or seeds may turn them."
        )
    if summary.waiting:
        notes.append(
            f"MLflow does not answer: {summary.waiting} events wait in {spec.home}, "
            f"and `paretune resume {spec.name}` sends them."
        )
    return notes


def _ending(summary: Summary, spec: SearchSpec) -> str:
    """Say why a search has fewer trials than its spec asks for; empty where it does not."""
    if summary.ended_early:
        return f"Ended early: {summary.ended_early}. `paretune resume {spec.name}` goes on."
    trials, limit = summary.trials.trials, spec.search.max_total_steps
    if len(trials) >= spec.search.trials:
        return ""
    short = f"{len(trials)} of {spec.search.trials} trials: "
    if limit is not None and sum(one.steps or 0 for one in trials) + spec.training.max_steps > limit:
        return f"{short}search.max_total_steps = {limit} leaves no room for another."
    return f"{short}no configuration was found that lies within the budget and was not tried."


def _say(note: str, console: Console) -> None:
    if note:
        console.print(note, highlight=False, soft_wrap=True)
