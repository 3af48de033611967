"""The durable record: one folder a trial, written so that a kill at any moment loses nothing finished.

`plan.json` stands before the training starts, `result.json` from its end on, and between them `rungs.jsonl` and
`checkpoint.pt`. Which trials exist and how they ended follows from these files alone; `progress.json`, which says how
far a training is, is there to be looked at.

`driver` beside the trials names the driver that writes. Workers of an earlier one may outlive it, for a minute when the
Ray head was killed; what they still write is refused, so that they do not disturb the trials that were taken up.
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
    """Another driver has taken the search up: what was to be written is its matter now."""


@dataclass(frozen=True)
class TrialFolder:
    """The folder of one trial. `driver`: for whom it is written, where somebody watches over that.

    Raises:
        Superseded: from every method that writes, when another driver has taken the search up.
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
        """What was decided on.

        Raises:
            WorkError: when the file is damaged.
        """
        return _record(self.path / "plan.json", TrialPlan)

    def result(self) -> TrialResult | None:
        """How the trial ended, or nothing while it has not.

        Raises:
            WorkError: when the file is damaged.
        """
        try:
            return _record(self.path / "result.json", TrialResult)
        except FileNotFoundError:
            return None

    def write_plan(self, plan: TrialPlan) -> None:
        self._check_driver()
        self.path.mkdir(parents=True, exist_ok=True)
        write_durably(self.path / "plan.json", plan.model_dump_json(indent=1))

    def write_result(self, result: TrialResult) -> TrialResult:
        """Record the end once; a result that already stands wins."""
        existing = self.result()
        if existing is not None:
            return existing
        self._check_driver()
        write_durably(self.path / "result.json", result.model_dump_json(indent=1))
        self.checkpoint.unlink(missing_ok=True)
        self.forget_progress()
        return result

    def begin_anew(self) -> None:
        """Forget a failure, and what was trained until then: the training is to be tried again."""
        self._check_driver()
        for left in (self.path / "rungs.jsonl", self.checkpoint, self.error):
            left.unlink(missing_ok=True)
        self.forget_progress()
        (self.path / "result.json").unlink()  # last: until then the failure is known

    def progress(self) -> Progress | None:
        """How far the training is; nothing where that is not known at the moment."""
        try:
            return Progress.model_validate_json(self._progress.read_bytes())
        except (OSError, ValidationError):
            return None

    def write_progress(self, progress: Progress) -> None:
        """Replace what is known of how far the training is, without waiting for the disk."""
        self._check_driver()
        with replacing(self._progress, draft=self._progress.with_suffix(".tmp"), durable=False) as file:
            file.write(progress.model_dump_json().encode())

    def forget_progress(self) -> None:
        """Nothing is known of how far the training is."""
        self._progress.unlink(missing_ok=True)

    def rungs(self) -> tuple[Rung, ...]:
        """The evaluations so far, each step once; a line that a kill tore is passed over."""
        try:
            lines = (self.path / "rungs.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return ()
        found = {rung.step: rung for rung in map(_rung, lines) if rung is not None}
        return tuple(found[step] for step in sorted(found))

    def add_rung(self, rung: Rung) -> None:
        self._check_driver()
        with (self.path / "rungs.jsonl").open("a+b") as file:
            # Behind a line that a kill tore this one would be lost with it.
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
    """Whether the next line can be appended."""
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
    """All trials of one search. `driver`: for whom they are written; none for those who only read."""

    home: Path
    driver: str | None = None

    def taken_over(self) -> Ledger:
        """The ledger for a new driver; from now on nobody writes for an earlier one."""
        driver = uuid.uuid4().hex
        write_durably(self.home / DRIVER, driver)
        return Ledger(self.home, driver)

    def trial(self, name: str) -> TrialFolder:
        return TrialFolder(self.home / "trials" / name, self.driver)

    def trials(self, kind: Kind | None = None) -> list[TrialFolder]:
        """Folders of the planned trials, in order of their ids."""
        folders = [
            self.trial(path.name) for path in sorted((self.home / "trials").glob("*")) if (path / "plan.json").is_file()
        ]
        return [folder for folder in folders if kind is None or folder.plan().kind == kind]
