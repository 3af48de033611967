"""One search on the deployment, with something that happens to it in its middle, and what became of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from search.storage import search_folder
from spaces.errors import RequestError, WorkError
from spaces.spec.spec import SearchSpec, parse_spec
from tests.search.service.topology import Topology

METHODS = ("lora", "sparta", "surm-circulant", "dst")
GIVEN: tuple[dict[str, Any], ...] = (
    *({"method": "lora", "rank": rank} for rank in (1, 4, 10)),
    # Small enough to be worse than larger ones, so that the front has several points.
    *({"method": "dst", "density": density} for density in (0.001, 0.002, 0.003)),
)
TRIALS = len(GIVEN) + len(METHODS)
LONGEST_SECONDS = 600.0
PAUSE_SECONDS = 0.5

Strike = Callable[[Topology, str], list[str]]
"""What happens to a search in its middle; gives what of it did not hold beside the search itself."""


@dataclass(frozen=True)
class Trial:
    """A configuration, and what training it came to."""

    configuration: str
    parameters: int | None
    quality: float | None


@dataclass(frozen=True)
class Outcome:
    """What became of a search. `kept`: whether what was finished before the fault stands as it was written then."""

    state: str
    seconds: float
    struck: float
    submissions: int
    states: tuple[str, ...]
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    kept: bool
    complaints: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing was lost or doubled: every configuration trained once, and to its end."""
        return self.kept and self.states == ("finished",) * TRIALS and max(self.configurations.values()) == 1

    @property
    def configurations(self) -> Counter[str]:
        return Counter(one.configuration for one in self.trials)

    @property
    def points(self) -> set[str]:
        """Configurations on the front."""
        return {one.configuration for one in self.front}

    @property
    def qualities(self) -> dict[str, float | None]:
        return {one.configuration: one.quality for one in self.trials}


def spec_of(deployed: Topology, name: str, max_steps: int) -> SearchSpec:
    """Trials that are the same whatever the timing and however often a driver begins.

    All stand in the study before the first is trained, given ones and each method's published one; the sampler, which
    a driver that takes a search up seeds anew, is asked for none.
    """
    search = {
        "trials": TRIALS,
        "start_with": list(GIVEN),
        "sampler": "random",
        "seed": 0,
        "rungs": 3,
        "concurrent": "auto",
    }
    sections: dict[str, Any] = {"search": search, "training": {"max_steps": max_steps}, "methods": list(METHODS)}
    return parse_spec(deployed.service.values(name, **sections))


def observe(deployed: Topology, spec: SearchSpec, strike: Strike) -> Outcome:
    """Launch the search, let it happen when half of the trials have ended, and wait for the end of both."""
    name = spec.name
    began = time.monotonic()
    deployed.client.launch(spec)
    while len(before := deployed.results(name)) < 1 + TRIALS // 2:  # the reference is one
        _check_time(began, name)
        time.sleep(0.05)
    struck = time.monotonic() - began
    with ThreadPoolExecutor(1) as beside:
        striking = beside.submit(strike, deployed, name)
        state = _state_at_the_end(deployed, name, began)
        seconds = time.monotonic() - began
        complaints = striking.result()
    deployed.heal()
    after = deployed.results(name)
    trials = deployed.client.trials(name).trials
    front = deployed.client.front(name).front
    return Outcome(
        state=state,
        seconds=seconds,
        struck=struck,
        submissions=deployed.submissions(name),
        states=tuple(one.state for one in trials),
        trials=tuple(_trial(one) for one in trials),
        front=tuple(_trial(one) for one in front),
        kept={path: after.get(path) for path in before} == before,
        complaints=(*complaints, *deployed.service.doctor(name)),
    )


def _state_at_the_end(deployed: Topology, name: str, began: float) -> str:
    """How the search ended, as the service says, which may be away for a while."""
    client = deployed.client
    while True:
        try:
            state = client.status(name).state
        except (WorkError, RequestError):
            state = "queued"
        if state in ("finished", "failed", "stopped"):
            return state
        if time.monotonic() - began > LONGEST_SECONDS:
            return f"{state} after {LONGEST_SECONDS:g} s"
        time.sleep(PAUSE_SECONDS)


def _check_time(began: float, name: str) -> None:
    if time.monotonic() - began > LONGEST_SECONDS:
        raise TimeoutError(f"{name}: half of its trials did not end within {LONGEST_SECONDS:g} s")


def is_over(deployed: Topology, name: str) -> bool:
    """Whether nothing of a search is left to run, whatever the service says."""
    return search_folder.is_finished(deployed.service.storage / name)


def _trial(one: Any) -> Trial:
    configuration = json.dumps({"method": one.method, **one.config}, sort_keys=True)
    return Trial(configuration, one.trainable_parameters, one.quality)
