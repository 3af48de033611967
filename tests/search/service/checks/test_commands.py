"""Checks of a service cost a bounded time and memory, and nobody waits for a turn."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import yaml

from search.command_process import command
from search.service.checks import commands
from search.service.checks.commands import run_check
from search.service.problems import Problem
from spaces.errors import RequestError, WorkError
from tests.conftest import Workplace

pytestmark = pytest.mark.slow  # every check is a process


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_check_gives_what_its_command_prints() -> None:
    assert run_check(python("print('{}')"), "validate", "a") == "{}\n"
    with pytest.raises(RequestError, match=r"^it is wrong$"):
        run_check(python("import sys; sys.stderr.write('paretune: it is wrong\\n'); sys.exit(2)"), "validate", "a")
    with pytest.raises(WorkError, match=r"^validate: ended with code 3$"):
        run_check(python("raise SystemExit(3)"), "validate", "a")


def test_a_check_inherits_nothing_that_lets_it_download() -> None:
    names = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
    said = run_check(python(f"import os, json; print(json.dumps([os.environ[one] for one in {names}]))"), "count", "a")
    assert json.loads(said) == ["1", "1", "1"]


@pytest.mark.parametrize(
    "work",
    [
        "while True: pass",
        "import os\nif os.fork(): os.wait()\nwhile True: pass",
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
    ],
    ids=["alone", "in a child", "deaf"],
)
def test_a_check_ends_with_its_time(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "PROCESSOR_SECONDS", 1)
    monkeypatch.setattr(commands, "WALL_SECONDS", 20.0)
    with pytest.raises(RequestError, match=r"^validate: takes .*allowed: a smaller model"):
        run_check(python(work), "validate", "a")


def test_a_check_that_waits_ends_with_the_wall_clock_and_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "WALL_SECONDS", 2.0)
    file = tmp_path / "child"
    work = f"import os, time\nchild = os.fork()\nif child: open({str(file)!r}, 'w').write(str(child))\ntime.sleep(600)"
    with pytest.raises(RequestError, match="takes longer than 2 s here"):
        run_check(python(work), "validate", "a")
    status = Path(f"/proc/{file.read_text()}/stat")
    deadline = time.monotonic() + 20
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("work", ["bytes(1 << 31)", "import mmap; mmap.mmap(-1, 1 << 31)"])
def test_a_check_ends_with_its_memory(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "ADDRESS_BYTES", 1 << 30)
    with pytest.raises(RequestError, match=r"^validate: takes more memory than it may have here"):
        run_check(python(work), "validate", "a")


def test_nobody_waits_for_a_turn() -> None:
    barrier, long = Barrier(2), python("import time; time.sleep(3)")
    headers: list[Any] = []

    def asked(client: str) -> float | str:
        barrier.wait()
        began = time.monotonic()
        try:
            run_check(long, "validate", client)
        except Problem as problem:
            headers.append(problem.headers)
            return time.monotonic() - began
        return "made"

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(asked, ("a", "a"))  # one for each who asks
        assert {type(first), type(second)} == {str, float}
    barrier = Barrier(3)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(asked, ("a", "b", "c")))
        refused = [one for one in found if isinstance(one, float)]
        assert len(refused) == 1
        assert refused[0] < 2.0  # at once, while the others take three
    assert headers == [{"Retry-After": "10"}] * 2
    assert run_check(python("print(1)"), "validate", "a") == "1\n"


def test_a_model_of_ten_million_layers_holds_no_processor_for_long(
    tmp_path: Path, tiny_model: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends at a limit, whichever comes first."""
    monkeypatch.setattr(commands, "PROCESSOR_SECONDS", 30)
    model = tmp_path / "deep"
    model.mkdir()
    for file in tiny_model.iterdir():
        os.link(file, model / file.name) if file.name != "config.json" else None
    config: dict[str, Any] = json.loads((tiny_model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**7}))
    spec = Workplace(tmp_path, model, tiny_data).spec("deep")
    assert yaml.safe_load(spec.read_text())["model"]["path"] == str(model)
    with pytest.raises(RequestError, match="allowed: a smaller model"):
        run_check(command(("validate", str(spec), "--json")), "validate", "a")
    sound = Workplace(tmp_path, tiny_model, tiny_data).spec("sound")
    assert json.loads(run_check(command(("validate", str(sound), "--json")), "validate", "a"))["search"] == "sound"
