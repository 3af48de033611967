"""`export`: which trial, and from where its adapter comes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.client import Client
from search.documents.service import ExportRequest, Format, check_rank
from spaces.errors import NoAnswer, RequestError, WorkError
from spaces.model_card.card import Card
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from tracking.documents.building import build_answer, build_front, smallest_answer
from tracking.mlflow_store.artifacts import fetch_adapter, fetch_spec
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.runs import SearchRow, TrialRow, find_search, read_trials
from tracking.mlflow_store.tags import SearchFacts

RANK = 8  # of a low-rank stand-in, unless another is asked for
EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class Choice:
    """How the trial is chosen; at most one way at once, none means the best."""

    max_parameters: int | None
    best: bool
    knee: bool
    trial: str | None

    def check(self) -> None:
        """See that it is one way.

        Raises:
            RequestError: when it is several.
        """
        if self.best + self.knee + (self.trial is not None) > 1:
            raise RequestError("export: --best, --knee and --trial exclude each other; allowed: one of them")
        if self.trial is not None and self.max_parameters is not None:
            raise RequestError("export: --trial and --max-parameters exclude each other; allowed: one of them")

    def of(self, search: SearchRow, rows: Sequence[TrialRow]) -> TrialRow:
        """The chosen trial of all that a search trained.

        Raises:
            NoAnswer: when none beats the head alone.
            RequestError: when none that does is small enough.
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


def export(
    uri: str,
    name: str,
    out: Path,
    choice: Choice,
    form: Format,
    storage: Path,
    rank: float | None = None,
    verification_rows: bool = True,
) -> None:
    """Write the chosen adapter and verify it, with the rows that it was verified with or without.

    Raises:
        RequestError: when the request is wrong.
        WorkError: when the export does not reproduce the trial's logits.
    """
    choice.check()
    _check_rank(rank, form)
    with reading(uri) as client:
        search = find_search(client, name)
        every = read_trials(client, search)
    chosen = choice.trial if choice.trial is not None else choice.of(search, every).plan.trial
    rows = {row.plan.trial: row for row in every}
    if chosen not in rows or rows[chosen].quality is None or rows[chosen].plan.kind != "trial":
        finished = [trial for trial, row in rows.items() if row.quality is not None and row.plan.kind == "trial"]
        raise RequestError(f"--trial {chosen}: no finished trial; allowed: {', '.join(finished[:20])}")
    spec, row = fetch_spec(uri, search.run_id), rows[chosen]

    from trainables.adapters.saved_folder import needs_own_tuner, read_labels
    from trainables.allowed_folders import confined_reading
    from trainables.exporting.export import export as write_export

    with tempfile.TemporaryDirectory() as folder:
        front = build_front(search, every, confirmed=False, axis="trainable").front
        tracked = chosen in {point.trial for point in front} or "confirmed_quality" in row.metrics
        adapter = _fetch(uri, row, chosen, tracked, storage / name, Path(folder))
        card = _card(spec, row, search.facts, read_labels(adapter), needs_own_tuner(adapter))
        kept = RANK if rank is None else rank
        with confined_reading(spec, data=form == "lora"):
            proof = write_export(adapter, out, card, form, kept, verification_rows=verification_rows)
    print(f"exported trial {chosen} ({row.plan.method}, {row.plan.trainable_parameters:,} parameters) to {out}")
    if choice.trial is None:
        print(choice_note(choice, spec.metric.name, row, every))
    if proof.before is not None and proof.after is not None:
        metric = spec.metric.name
        print(f"{metric} on validation: {proof.before:.4f} as trained, {proof.after:.4f} as LoRA of low rank")
    else:
        alone = ", by PEFT alone" if form == "stock" else ""
        kind = "" if proof.weights is None else f", its weights are {proof.weights}"
        print(
            f"verified in a fresh process{alone}: the largest difference of its logits is {proof.difference:.2g}{kind}"
        )


def export_from(
    server: str,
    name: str,
    out: Path,
    choice: Choice,
    form: Format,
    rank: float | None,
    verification_rows: bool = True,
) -> None:
    """Have a service write the chosen adapter, and unpack it here.

    Raises:
        RequestError: when the request is wrong.
        WorkError: when the service fails, or the export does not reproduce the trial's logits.
    """
    choice.check()
    _check_rank(rank, form)
    if out.exists():
        raise RequestError(f"--out {out}: exists; allowed: a new folder")
    wanted = ExportRequest(
        trial=choice.trial,
        max_parameters=choice.max_parameters,
        choice="knee" if choice.knee else "best",
        format=form,
        rank=rank,
        verification_rows=verification_rows,
    )
    client = Client(server)
    status = client.export(name, wanted)
    while status.state in ("queued", "running"):
        time.sleep(EVERY_SECONDS)
        status = client.exported(name, status.id)
    if status.state == "failed":
        raise WorkError(f"export {status.id} of {name}: {status.message}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "export.zip"
        client.download(name, status.id, file)
        shutil.unpack_archive(file, folder)
        (written,) = (one for one in Path(folder).iterdir() if one.is_dir())
        shutil.move(written, out)
    print(f"exported trial {status.trial} of {name} to {out}, verified by the service")


def choice_note(choice: Choice, metric: str, row: TrialRow, rows: Sequence[TrialRow]) -> str:
    """Of which front the chosen trial is."""
    title = "the knee" if choice.knee else "the best"
    within = "" if choice.max_parameters is None else f" within {choice.max_parameters:,} parameters"
    if "confirmed_quality" in row.metrics:
        return f"it is {title}{within} by confirmed {metric}, {row.metrics['confirmed_quality']:.4f}"
    confirmed = any("confirmed_quality" in one.metrics for one in rows)
    why = ", for no confirmed point there is as good" if confirmed else ""
    return f"it is {title}{within} by {metric} of one training, {row.metrics['quality']:.4f}{why}"


def _check_rank(rank: float | None, form: Format) -> None:
    if rank is not None:
        try:
            check_rank(rank, form)
        except ValueError as error:
            raise RequestError(f"--{error}") from None


def _fetch(uri: str, row: TrialRow, trial: str, tracked: bool, home: Path, folder: Path) -> Path:
    """The adapter: from MLflow for members of the front and confirmed trials, else from the runs on this machine."""
    if tracked:
        return fetch_adapter(uri, row.run_id, folder)
    kept = Ledger(home).trial(trial).adapter
    if not kept.is_dir():
        raise RequestError(f"--trial {trial}: is not on the front, so MLflow has no adapter of it; allowed: --storage")
    return Path(shutil.copytree(kept, folder / "adapter"))


def _card(spec: SearchSpec, row: TrialRow, facts: SearchFacts, labels: tuple[str, ...], own: bool) -> Card:
    plan, steps = row.plan, row.metrics.get("steps")
    return Card(
        spec=spec,
        trial=plan.trial,
        method=plan.method,
        config=plan.config,
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
        split_rows=facts.rows,
    )
