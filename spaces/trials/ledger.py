"""The ledger, the durable record of a search: one folder a trial, safe against a kill at any moment.

`plan.json` is written before the training starts, `result.json` at its end, and between them `rungs.jsonl` and
`checkpoint.pt`. These files alone tell which trials exist and how they ended; `progress.json` is for displays only.

The file `driver` beside the trials names the driver that may write. Workers of an earlier driver may outlive it, for a
minute if the Ray head was killed. Their writes are refused, so that they do not disturb trials that were resumed.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from spaces.errors import WorkError
from spaces.files.atomic_file import replacing, write_durably
from spaces.trials.records import Kind, Progress, Rung, TrialPlan, TrialResult

R = TypeVar("R", bound=BaseModel)

DRIVER = "driver"


class Superseded(RuntimeError):
    """Another driver has resumed the search, so this one may not write any more."""


@dataclass(frozen=True)
class TrialFolder:
    """The folder of one trial.

    Attributes:
        path: the folder.
        driver: the id of the driver that writes; None to write without a check.

    Raises:
        Superseded: from every method that writes, when another driver has resumed the search.
    """

    path: Path
    driver: str | None = None

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def error(self) -> Path:
        """The traceback of an unexpected error."""
        return self.path / "error.txt"

    @property
    def _progress(self) -> Path:
        return self.path / "progress.json"

    def plan(self) -> TrialPlan:
        """Return the plan.

        Raises:
            WorkError: when the file is damaged.
        """
        return _record(self.path / "plan.json", TrialPlan)

    def result(self) -> TrialResult | None:
        """Return the result; None until the trial has ended.

        Raises:
            WorkError: when the file is damaged.
        """
        try:
            return _record(self.path / "result.json", TrialResult)
        except FileNotFoundError:
            return None

    def write_plan(self, plan: TrialPlan) -> None:
        """Record the plan, and make the folder."""
        self._check_driver()
        self.path.mkdir(parents=True, exist_ok=True)
        write_durably(self.path / "plan.json", plan.model_dump_json(indent=1))

    def write_result(self, result: TrialResult) -> TrialResult:
        """Record the end once, and return the recorded result; one that exists already wins."""
        existing = self.result()
        if existing is not None:
            return existing
        self._check_driver()
        write_durably(self.path / "result.json", result.model_dump_json(indent=1))
        self.checkpoint.unlink(missing_ok=True)
        self.forget_progress()
        return result

    def begin_anew(self) -> None:
        """Remove a failure and everything trained until then, so that the training is tried again."""
        self._check_driver()
        for left in (self.path / "rungs.jsonl", self.checkpoint, self.error):
            left.unlink(missing_ok=True)
        self.forget_progress()
        (self.path / "result.json").unlink()  # last: the failure is recorded until then

    def progress(self) -> Progress | None:
        """Return the progress of the training; None if it is not known at the moment."""
        try:
            return Progress.model_validate_json(self._progress.read_bytes())
        except (OSError, ValidationError):
            return None

    def write_progress(self, progress: Progress) -> None:
        """Replace the progress of the training, without waiting for the disk."""
        self._check_driver()
        with replacing(self._progress, draft=self._progress.with_suffix(".tmp"), durable=False) as file:
            file.write(progress.model_dump_json().encode())

    def forget_progress(self) -> None:
        """Remove the progress of the training."""
        self._progress.unlink(missing_ok=True)

    def rungs(self) -> tuple[Rung, ...]:
        """Return the evaluations so far, ascending, each step once; a line that a kill cut off is skipped."""
        try:
            lines = (self.path / "rungs.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        found = {rung.step: rung for rung in map(_rung, lines) if rung is not None}
        return tuple(found[step] for step in sorted(found))

    def add_rung(self, rung: Rung) -> None:
        """Record one more evaluation."""
        self._check_driver()
        with (self.path / "rungs.jsonl").open("a+b") as file:
            # Appended to a line that a kill cut off, this one would be lost with it.
            end = b"" if _ends_whole(file) else b"\n"
            file.write(end + rung.model_dump_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _check_driver(self) -> None:
        home = self.path.parent.parent
        if self.driver is not None and (home / DRIVER).read_text(encoding="utf-8") != self.driver:
            raise Superseded(f"another driver has taken up the search in {home}")


def _record(path: Path, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise WorkError(f"{path}: is damaged ({reason}); allowed: as it was written") from None


def _ends_whole(file: BinaryIO) -> bool:
    """Return whether the file is empty or ends with a whole line."""
    if not file.seek(0, os.SEEK_END):
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _rung(line: bytes) -> Rung | None:
    try:
        return Rung.model_validate_json(line)
    except ValidationError:
        return None


@dataclass(frozen=True)
class Ledger:
    """All trials of one search.

    Attributes:
        home: the folder of the search.
        driver: the id of the driver that writes; None for readers.
    """

    home: Path
    driver: str | None = None

    def taken_over(self) -> Ledger:
        """Return the ledger for a new driver; from now on the writes of earlier ones are refused."""
        driver = uuid.uuid4().hex
        write_durably(self.home / DRIVER, driver)
        return Ledger(self.home, driver)

    def trial(self, name: str) -> TrialFolder:
        """Return the folder of the trial with the id `name`."""
        return TrialFolder(self.home / "trials" / name, self.driver)

    def trials(self, kind: Kind | None = None) -> list[TrialFolder]:
        """Return the folders of the planned trials, of one kind or of all, in order of their ids."""
        folders = [
            self.trial(path.name) for path in sorted((self.home / "trials").glob("*")) if (path / "plan.json").is_file()
        ]
        return [folder for folder in folders if kind is None or folder.plan().kind == kind]
