"""Every shipped recipe is a valid spec and begins with the command that uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

import spaces
from spaces.spec.sections import Task
from spaces.spec.spec import load_spec
from tests.pages import ROOT

RECIPES = sorted((Path(spaces.__file__).parent / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_valid(recipe: Path) -> None:
    spec = load_spec(recipe)
    assert spec.name == recipe.stem
    assert f"paretune search {recipe.name}" in recipe.read_text(encoding="utf-8").split("name:")[0]


def test_the_recipes_cover_the_tasks_and_forms_of_data() -> None:
    named = {"word-order", "sst2", "rte", "cola", "vit", "gpt2", "llama", "conll", "topics", "t5", "chat", "gsm8k"}
    assert named <= {path.stem for path in RECIPES}
    specs = [load_spec(recipe) for recipe in RECIPES]
    assert {spec.model.task for spec in specs} == set(Task)
    written = {spec.model.task for spec in specs if spec.objective.generation}
    assert written == {Task.CAUSAL_LM, Task.SEQ2SEQ_LM}
    learnt = [spec.data for spec in specs if spec.model.task is Task.CAUSAL_LM]
    assert any(data.messages for data in learnt)
    assert any(data.text for data in learnt)
    assert any(data.prompt for data in learnt)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_page_names_every_recipe_of_a_task(recipe: Path) -> None:
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    assert recipe.stem == "word-order" or f"`{recipe.name}`" in page  # the demo's is in README.md
