"""Every shipped recipe is a valid spec and begins with the command that uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

import spaces
from spaces.spec.spec import load_spec

RECIPES = sorted((Path(spaces.__file__).parent / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_valid(recipe: Path) -> None:
    spec = load_spec(recipe)
    assert spec.name == recipe.stem
    assert f"paretune search {recipe.name}" in recipe.read_text(encoding="utf-8").split("name:")[0]


def test_the_recipes_cover_the_tasks() -> None:
    tasks = {"word-order", "sst2", "rte", "cola", "vit", "gpt2", "llama", "conll", "topics", "t5", "chat", "gsm8k"}
    assert tasks <= {path.stem for path in RECIPES}
