"""The data of a search: encoded once by the driver, mapped read-only by every worker, which knows no tokenizer."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from search.driver.phases import reference_plan, share
from search.driver.preflight import prepare
from spaces.spec.spec import load_spec
from spaces.trials.ledger import Ledger
from spaces.trials.records import TrialResult
from tests.conftest import Workplace, start_ray
from trainables.data.encoded_split import Array, EncodedTokens, fingerprint
from trainables.data.tables import Table
from trainables.data.texts import TextEncoder
from trainables.trial import TrialTrainable, WorkerInputs

pytestmark = pytest.mark.integration


def mapped_from(array: Array) -> tuple[str, int]:
    """The file that an array's memory is mapped from, and where in it the array begins."""
    address = array.ctypes.data
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        span, _, offset, _, _, *path = line.split(maxsplit=5)
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= address < high:
            return (path[0] if path else ""), address - low + int(offset, 16)
    raise AssertionError("no mapping")


@ray.remote(max_calls=1)
def look(shared: WorkerInputs, plan: dict[str, Any]) -> dict[str, Any]:
    """Be a worker for one training, and say what it opened and how it holds the data."""
    opened: list[str] = []
    sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
    trainable = TrialTrainable.__new__(TrialTrainable)
    trainable.setup({"plan": plan}, inputs=shared)
    report = trainable.step()
    arrays = {
        f"{name}.{key}": array
        for name, split in (("train", trainable._train), ("validation", trainable._validation))
        for key, array in split.arrays().items()
    }
    from transformers import PreTrainedTokenizerBase

    return {
        "process": os.getpid(),
        "state": report["state"],
        "opened": opened,
        "tokenizers": sum(issubclass(type(one), PreTrainedTokenizerBase) for one in gc.get_objects()),
        "fingerprints": [fingerprint(trainable._train), fingerprint(trainable._validation)],
        "writeable": [name for name, array in arrays.items() if array.flags.writeable or array.flags.owndata],
        "mapped": {name: mapped_from(array) for name, array in arrays.items()},
    }


def test_workers_map_the_encoded_data_and_know_no_tokenizer(workplace: Workplace) -> None:
    start_ray()
    spec = load_spec(workplace.spec())
    spec = spec.model_copy(update={"storage": str(workplace.folder / "paretune-runs")})
    spec.home.mkdir(parents=True)
    prepared = prepare(spec)
    ledger = Ledger(spec.home).taken_over()
    shared = share(prepared, ledger)
    plans = [reference_plan(prepared).model_copy(update={"trial": name}) for name in ("one", "two")]
    for plan in plans:
        ledger.trial(plan.trial).write_plan(plan)
    one, two = ray.get([look.remote(shared, plan.model_dump(mode="json")) for plan in plans])
    assert one["process"] != two["process"]
    for worker in (one, two):
        assert worker["state"] == "finished"
        assert str(ledger.home) in " ".join(worker["opened"])
        for folder in (workplace.model, workplace.data):  # weights and rows come out of the object store
            assert [path for path in worker["opened"] if path.startswith(str(folder))] == []
        assert worker["tokenizers"] == 0
        assert worker["fingerprints"] == [fingerprint(prepared.train), fingerprint(prepared.validation)]
        assert worker["writeable"] == []
        assert {name.partition(".")[0] for name in worker["mapped"]} == {"train", "validation"}
        assert all("plasma" in path for path, _ in worker["mapped"].values())
    assert one["mapped"] == two["mapped"]  # one copy a node
    result = ledger.trial("one").result()
    assert isinstance(result, TrialResult)
    assert result.peak_memory_bytes > 0


def test_every_split_is_encoded_once_a_search(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: Counter[str] = Counter()
    encode = TextEncoder.encode

    def counted(self: TextEncoder, table: Table, targets: Array | None) -> EncodedTokens:
        encoded[table.field] += 1
        return encode(self, table, targets)

    monkeypatch.setattr(TextEncoder, "encode", counted)
    spec = workplace.spec(
        data={"test": str(workplace.data / "test.csv")},
        training={"max_steps": 180},
        search={"trials": 2},
        confirm={"top": 1, "seeds": 2},
    )
    done = workplace.call("search", str(spec))
    assert done.returncode == 0, done.stderr
    assert encoded == {"data.train": 1, "data.validation": 1, "data.test": 1}


def test_a_split_may_not_be_written_through_a_batch(workplace: Workplace) -> None:
    train = prepare(load_spec(workplace.spec())).train
    before = fingerprint(train)
    for tensor in train.take(np.arange(4)).values():
        tensor.zero_()
    assert fingerprint(train) == before
