"""A trainable that notes when it reaches which point of a trial.

Its first and last lines see the imports of a fresh worker, which loads this module by its name.
Times are those of a clock that all processes of a machine share.
"""

# ruff: noqa: E402
from time import perf_counter

BEGAN = perf_counter()

import json
import time
from pathlib import Path
from typing import Any

import psutil

from spaces.trials.records import TrialResult
from trainables.training.loop import Training
from trainables.trial import TrialTrainable, WorkerInputs

IMPORTED = perf_counter()

FILE = "stamps.json"


class StampedTrial(TrialTrainable):
    """Writes `stamps.json` into the folder of each trial: seconds by the name of a point.

    `reset`: the actor takes the plan. `step`: it is asked to train. `first`: the first training step begins.
    `trained`, `evaluated`: the last one ended, and so did its evaluation. `recorded`: the result is durable.
    `left`: the last report leaves. `actor`: tells actors apart. A fresh one has seen more before `reset`: see `_fresh`,
    and `loading`, where the base is fetched.
    """

    def setup(self, config: dict[str, Any], inputs: WorkerInputs) -> None:
        self.stamps: dict[str, Any] = {}
        began = perf_counter()
        super().setup(config, inputs)
        self._actor = began
        self.stamps |= _fresh() | {"reset": perf_counter()}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.stamps = {"reset": perf_counter()}
        return super().reset_config(new_config)

    def step(self) -> dict[str, Any]:
        self._stamp("step")
        report = super().step()
        self.stamps |= {"left": perf_counter(), "actor": self._actor}
        (self._folder.path / FILE).write_text(json.dumps(self.stamps), encoding="utf-8")
        return report

    def _advance(self) -> TrialResult | None:
        ended = super()._advance()
        self.stamps["recorded"] = perf_counter()
        return ended

    def _prepare(self) -> Training:
        training = super()._prepare()
        train_to, evaluate = training.train_to, training.evaluate

        def stamped_train_to(last: int) -> None:
            self._stamp("first")
            train_to(last)
            self.stamps["trained"] = perf_counter()

        def stamped_evaluate(*given: Any) -> Any:
            found = evaluate(*given)
            self.stamps["evaluated"] = perf_counter()
            return found

        training.train_to = stamped_train_to  # type: ignore[method-assign]
        training.evaluate = stamped_evaluate  # type: ignore[method-assign]
        return training

    def _load(self, inputs: WorkerInputs) -> None:
        self._stamp("loading")
        super()._load(inputs)

    def _stamp(self, name: str) -> None:
        """The first time that a point is reached counts."""
        self.stamps.setdefault(name, perf_counter())


def _fresh() -> dict[str, Any]:
    """What came before the first trial: the process, and the imports within it."""
    age = time.time() - psutil.Process().create_time()
    return {"process": perf_counter() - age, "imports": BEGAN, "imported": IMPORTED}


def read_stamps(folder: Path) -> dict[str, float]:
    """The stamps of the trial in `folder`."""
    found: dict[str, float] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return found
