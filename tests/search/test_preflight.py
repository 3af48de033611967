"""What is known of a search before it starts."""

from __future__ import annotations

import subprocess
import sys

from search.preflight import inspect, prepare
from spaces.spec import load_spec
from tests.conftest import Workplace


def test_counting_sees_the_same_model_as_searching(workplace: Workplace) -> None:
    """The checkpoint has no pooler, which therefore belongs to the head; the config alone cannot tell."""
    spec = load_spec(workplace.spec())
    inventory = inspect(spec, labels=2)
    assert inventory == prepare(spec).inventory
    assert inventory.head_parameters == 32 * 32 + 32 + 2 * 32 + 2


def test_what_takes_a_while_is_said_before_it_is_done(workplace: Workplace) -> None:
    said: list[str] = []
    prepare(load_spec(workplace.spec()), said.append)
    assert said == ["reading and encoding the data", "reading the model"]


def test_a_search_speaks_before_it_loads_anything(workplace: Workplace) -> None:
    """In a process of its own, at the moment in which it comes to the libraries."""
    script = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'ray', 'mlflow', 'optuna'):\n"
        "            raise SystemExit('came to ' + name)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from search.cli import run\n"
        f"run(['search', {str(workplace.spec())!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.startswith("came to ")
    assert done.stdout == "loading torch, transformers and Ray …\n"


def test_validate_says_what_it_does_unless_a_program_reads_it(workplace: Workplace) -> None:
    spec = str(workplace.spec())
    assert "reading the model …\n" in workplace.call("validate", spec).stdout
    assert workplace.read("validate", spec)["search"] == "mine"
