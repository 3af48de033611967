"""Export a trial of a search: choose it, fetch its adapter, write and verify the folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.documents.service import Format, check_rank
from spaces.errors import NoAnswer, RequestError
from spaces.model_card.card import Card
from spaces.spec.defaults import DEFAULT_STORAGE
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from tracking.documents.building import build_answer, build_front, smallest_answer
from tracking.mlflow_store.artifacts import fetch_adapter, fetch_spec
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.run_records import SearchRun, TrialRun
from tracking.mlflow_store.runs import find_search, scan_trials
from tracking.mlflow_store.tags import SearchFacts
from tracking.mlflow_store.uri import reading_uri

if TYPE_CHECKING:
    from trainables.exporting.export import Proof
    from trainables.generation.saved_answers import Rescored

RANK = 8
"""The rank of a low-rank stand-in, unless another is asked for."""


@dataclass(frozen=True)
class Choice:
    """The way in which a trial is chosen: at most one at once; none means the best."""

    max_parameters: int | None
    best: bool
    knee: bool
    trial: str | None

    def check(self) -> None:
        """Refuse a choice that excludes itself.

        Raises:
            RequestError: when more than one way is given.
        """
        if self.best + self.knee + (self.trial is not None) > 1:
            raise RequestError("export: --best, --knee and --trial exclude each other; allowed: one of them")
        if self.trial is not None and self.max_parameters is not None:
            raise RequestError("export: --trial and --max-parameters exclude each other; allowed: one of them")

    def of(self, search: SearchRun, rows: Sequence[TrialRun]) -> TrialRun:
        """Return the chosen trial among `rows`, everything that a search trained.

        Raises:
            NoAnswer: when no trial beats the head alone.
            RequestError: when none of those that do is small enough.
        """
        found = build_answer(search, rows, at_most=self.max_parameters)
        chosen = found.knee if self.knee else found.best
        if chosen is not None:
            return chosen
        smallest = smallest_answer(search, rows)
        if smallest is None:
            raise NoAnswer(
                f"export {search.name}: no trial is known to beat the head alone, so none is exported unasked; "
                f"`paretune trials {search.name}` lists them, and --trial exports one"
            )
        raise RequestError(
            f"--max-parameters {self.max_parameters}: no trial so small beats the head alone; "
            f"allowed: at least {smallest:,}"
        )


@dataclass(frozen=True)
class Exported:
    """An export that was written to `out` and verified.

    `note`: the front that the trial was chosen from; None where the caller named the trial. `proof`: the largest
    difference of its logits in a fresh process, or for a low-rank stand-in its quality before and after.
    """

    out: Path
    trial: str
    method: str
    trainable_parameters: int
    metric: str
    form: Format
    note: str | None
    proof: Proof

    def __str__(self) -> str:
        lines = [f"exported trial {self.trial} ({self.method}, {self.trainable_parameters:,} parameters) to {self.out}"]
        if self.note is not None:
            lines.append(self.note)
        return "\n".join([*lines, self._verified()])

    def _verified(self) -> str:
        proof = self.proof
        if proof.before is not None and proof.after is not None:
            return f"{self.metric} on validation: {proof.before:.4f} as trained, {proof.after:.4f} as LoRA of low rank"
        alone = ", by PEFT alone" if self.form == "stock" else ""
        kind = "" if proof.weights is None else f", its weights are {proof.weights}"
        found = f"the largest difference of its logits is {proof.difference:.2g}{kind}"
        if proof.rescored is not None:
            found += f"; {_rescored(self.metric, proof.rescored)}"
        return f"verified in a fresh process{alone}: {found}"


def _rescored(metric: str, found: Rescored) -> str:
    if found.before is None or found.after is None:
        return f"its verification rows have the same answers, not measured: {found.reason}"
    return f"{metric} of its verification rows: {found.before:.4f} at the trial's end, {found.after:.4f} now"


def export(
    name: str,
    out: str | Path,
    *,
    max_parameters: int | None = None,
    best: bool = False,
    knee: bool = False,
    trial: str | None = None,
    format: Format = "peft",
    rank: float | None = None,
    verification_rows: bool = True,
    storage: str | Path = DEFAULT_STORAGE,
    tracking_uri: str | None = None,
) -> Exported:
    """Write one trial of the search `name` as a folder that can be used alone, and verify it.

    Args:
        out: a new or empty folder.
        max_parameters: take the best trial with at most so many trainable parameters.
        best: take the trial of best quality; so does a call that chooses nothing.
        knee: take the point of best trade.
        trial: take the trial of this id.
        format: `peft`: the adapter; `merged`: the whole model; `stock`: an equal adapter for PEFT without paretune;
            `lora`: a low-rank stand-in.
        rank: of format `lora`; below 1: the part of the squared singular values to keep. 8 by default.
        verification_rows: keep the few validation rows that the export was verified with.
        storage: the folder in which searches keep their runs.
        tracking_uri: MLflow's address; by default that of the environment, else the SQLite file in `storage`.

    Raises:
        RequestError: when the request is wrong.
        NoAnswer: when no trial beats the head alone, and none was named.
        WorkError: when the export does not reproduce the trial's logits.
    """
    choice, storage = Choice(max_parameters, best, knee, trial), Path(storage)
    check_request(choice, format, rank)
    uri = reading_uri(tracking_uri, storage)
    search, row, rows = _chosen(uri, name, choice)
    proof = _write(uri, search, row, rows, storage, Path(out), format, rank, verification_rows)
    metric, plan = search.facts.metric, row.plan
    return Exported(
        out=Path(out),
        trial=plan.trial,
        method=plan.method,
        trainable_parameters=plan.trainable_parameters,
        metric=metric,
        form=format,
        note=choice_note(choice, metric, row, rows) if trial is None else None,
        proof=proof,
    )


def check_request(choice: Choice, form: Format, rank: float | None) -> None:
    """Check everything that needs no search to be read.

    Raises:
        RequestError: when the trial is chosen in several ways, or there is no such rank.
    """
    choice.check()
    if rank is not None:
        try:
            check_rank(rank, form)
        except ValueError as error:
            raise RequestError(f"--{error}") from None


def _chosen(uri: str, name: str, choice: Choice) -> tuple[SearchRun, TrialRun, list[TrialRun]]:
    """Return the search, the chosen trial, and everything that the search trained."""
    with reading(uri) as client:
        search = find_search(client, name)
        every = scan_trials(client, search)
    if choice.trial is None:
        return search, choice.of(search, every), every
    finished = {row.plan.trial: row for row in every if row.quality is not None and row.plan.kind == "trial"}
    if choice.trial not in finished:
        raise RequestError(f"--trial {choice.trial}: no finished trial; allowed: {', '.join(list(finished)[:20])}")
    return search, finished[choice.trial], every


def _write(
    uri: str,
    search: SearchRun,
    row: TrialRun,
    rows: list[TrialRun],
    storage: Path,
    out: Path,
    form: Format,
    rank: float | None,
    verification_rows: bool,
) -> Proof:
    from trainables.adapters.saved_folder import needs_own_tuner, read_labels
    from trainables.allowed_folders import confined_reading
    from trainables.exporting.export import export as write_export

    spec = fetch_spec(uri, search.run_id)
    front = build_front(search, rows, confirmed=False, axis="trainable").front
    tracked = row.plan.trial in {point.trial for point in front} or "confirmed_quality" in row.metrics
    with tempfile.TemporaryDirectory() as folder:
        adapter = _fetch(uri, row, tracked, storage / search.name, Path(folder))
        card = _card(spec, row, search.facts, read_labels(adapter), needs_own_tuner(adapter))
        kept = RANK if rank is None else rank
        with confined_reading(spec, data=form == "lora"):
            return write_export(adapter, out, card, form, kept, verification_rows=verification_rows)


def choice_note(choice: Choice, metric: str, row: TrialRun, rows: Sequence[TrialRun]) -> str:
    """Say whether the trial was chosen by its confirmed quality or by that of one training."""
    title = "the knee" if choice.knee else "the best"
    within = "" if choice.max_parameters is None else f" within {choice.max_parameters:,} parameters"
    if "confirmed_quality" in row.metrics:
        return f"it is {title}{within} by confirmed {metric}, {row.metrics['confirmed_quality']:.4f}"
    confirmed = any("confirmed_quality" in one.metrics for one in rows)
    why = ", for no confirmed point there is as good" if confirmed else ""
    return f"it is {title}{within} by {metric} of one training, {row.metrics['quality']:.4f}{why}"


def _fetch(uri: str, row: TrialRun, tracked: bool, home: Path, folder: Path) -> Path:
    """Fetch the adapter: from MLflow for members of the front and confirmed trials, else from the runs here."""
    trial = row.plan.trial
    if tracked:
        return fetch_adapter(uri, row.run_id, folder)
    kept = Ledger(home).trial(trial).adapter
    if not kept.is_dir():
        raise RequestError(f"--trial {trial}: is not on the front, so MLflow has no adapter of it; allowed: --storage")
    return Path(shutil.copytree(kept, folder / "adapter"))


def _card(spec: SearchSpec, row: TrialRun, facts: SearchFacts, labels: tuple[str, ...], own: bool) -> Card:
    plan, steps, best = row.plan, row.metrics.get("steps"), row.metrics.get("best_step")
    return Card(
        spec=spec,
        trial=plan.trial,
        method=plan.method,
        config=plan.config,
        training=plan.training,
        seed=plan.seed,
        quality=row.metrics["quality"],
        confirmed_quality=row.metrics.get("confirmed_quality"),
        confirmed_std=row.metrics.get("confirmed_std"),
        test_quality=row.metrics.get("test_quality"),
        trainable_parameters=plan.trainable_parameters,
        head_parameters=plan.head_parameters,
        base_parameters=facts.base_parameters,
        adapter_bytes=plan.adapter_bytes,
        labels=labels,
        own_tuner=own,
        steps=None if steps is None else int(steps),
        best_step=None if best is None else int(best),
        split_rows=facts.rows,
    )
