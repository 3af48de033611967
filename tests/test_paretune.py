"""The public face: `import paretune` is light, typed and complete, and does what the command line does."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import paretune
import search
import spaces
import tracking
import trainables
from tests.pages import ROOT

FACES = (spaces, tracking, trainables, search)


@pytest.mark.parametrize("module", [paretune, *FACES], ids=lambda module: module.__name__)
def test_every_public_name_is_there_and_is_listed(module: ModuleType) -> None:
    assert module.__all__ == sorted(module.__all__)
    assert dir(module) == module.__all__
    for name in module.__all__:
        assert getattr(module, name).__doc__, name
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nonsense'"):
        _ = module.nonsense


@pytest.mark.parametrize("module", [paretune, *FACES], ids=lambda module: module.__name__)
def test_a_type_checker_sees_the_names_that_are_loaded(module: ModuleType) -> None:
    """The imports under `if TYPE_CHECKING` give the very objects that `__getattr__` gives."""
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (checked,) = (
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )
    seen = {}
    for node in checked:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            seen[alias.name] = getattr(importlib.import_module(str(node.module)), alias.name)
    assert seen == {name: getattr(module, name) for name in module.__all__}


def test_it_re_exports_the_faces_of_the_four_packages_and_nothing_else() -> None:
    assert sorted(name for face in FACES for name in face.__all__) == paretune.__all__


def test_it_reads_a_spec_without_torch_ray_and_mlflow() -> None:
    recipe = ROOT / "spaces" / "recipes" / "word-order.yaml"
    script = (
        f"import sys, paretune as pt; assert pt.load_spec({str(recipe)!r}).name; pt.methods('lora'); pt.Client('http://h');"
        "print({'torch', 'ray', 'mlflow', 'peft', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
