"""The house: imports go one way, importing a package loads nothing, and light commands stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("spaces", "trainables", "tracking", "search")
MAY_IMPORT = {
    "spaces": set(),
    "trainables": {"spaces"},
    "tracking": {"spaces"},
    "search": {"spaces", "trainables", "tracking"},
}
KEPT_OUT = {
    "spaces": {"torch", "transformers", "peft", "accelerate", "datasets", "ray", "optuna", "mlflow"},
    "trainables": {"optuna", "mlflow"},
    "tracking": {"torch", "transformers", "peft", "accelerate", "datasets", "ray", "optuna"},
    "search": {"mlflow"},
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Names of the modules that the code imports anywhere, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)


def violations(package: str, source: str) -> list[str]:
    """Imports that a module of `package` may not have."""
    refused = (set(OURS) - {package} - MAY_IMPORT[package]) | KEPT_OUT[package]
    return [name for name in imported(ast.parse(source)) if name.partition(".")[0] in refused]


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", OURS)
def test_imports_go_one_way(package: str) -> None:
    assert modules(package)
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in modules(package)
        if (wrong := violations(package, path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("spaces", "import torch"),
        ("spaces", "def f():\n    from torch.nn import Linear"),
        ("spaces", "from tracking.mlflow_store.uri import probe"),
        ("trainables", "import search.driver.run as run"),
        ("tracking", "from ray import tune"),
        ("tracking", "import os, trainables"),
    ],
)
def test_a_wrong_import_is_found(package: str, source: str) -> None:
    assert len(violations(package, source)) == 1


def test_files_of_sub_packages_hold_a_docstring_alone() -> None:
    files = [path for package in OURS for path in modules(package) if path.name == "__init__.py"]
    inner = [path for path in files if path.parent.parent != ROOT]
    assert inner
    for path in inner:
        (docstring,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(docstring, ast.Expr), path
        assert isinstance(docstring.value, ast.Constant), path


@pytest.mark.parametrize("package", [*OURS, "paretune"])
def test_importing_a_package_loads_nothing(package: str) -> None:
    script = f"import sys; before = set(sys.modules); import {package}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert package in loaded
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == {package}


def declared() -> set[str]:
    """Names of the distributions that installing the package brings, or that one of its extras does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    given = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    return {_normal(re.split(r"[^\w.-]", one)[0]) for one in given}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_is_declared() -> None:
    files = [path for package in OURS for path in modules(package)]
    tops = {name.partition(".")[0] for path in files for name in imported(ast.parse(path.read_text(encoding="utf-8")))}
    foreign = tops - set(OURS) - sys.stdlib_module_names
    found = packages_distributions()
    assert {top for top in foreign if not {_normal(one) for one in found.get(top, [])} & declared()} == set()


def loaded_after(statements: str) -> set[str]:
    """Top-level modules of a fresh process that ran these statements."""
    script = f"import sys\n{statements}\nprint(*{{name.partition('.')[0] for name in sys.modules}}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("package", ["spaces", "tracking"])
def test_every_module_of_a_light_package_loads_without_heavy_ones(package: str) -> None:
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules(package)]
    loaded = loaded_after("\n".join(f"import {name.removesuffix('.__init__')}" for name in names))
    assert package in loaded
    assert loaded & {"torch", "ray", "transformers", "peft", "optuna"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["methods", "--help"], ["schema"]])
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    loaded = loaded_after(f"from search.cli.main import run\nassert run({arguments!r}) == 0")
    assert "typer" in loaded
    assert loaded & {"torch", "ray", "transformers", "peft", "optuna", "mlflow"} == set()


def test_what_a_worker_runs_encodes_nothing() -> None:
    """It imports no encoder; transformers itself loads the library of tokenizers, whoever imports it."""
    statements = (
        "import sys, trainables.trial\n"
        "print(*(name.rpartition('.')[2] for name in sys.modules if name.startswith('trainables.data.')))"
    )
    done = subprocess.run([sys.executable, "-c", statements], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"batches", "encoded_split"}
