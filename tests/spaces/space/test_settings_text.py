"""The settings that are shown of a trial."""

from __future__ import annotations

import pytest

from spaces.methods.registry import configuration, methods
from spaces.space.settings_text import settings_text, shown_settings


def test_a_default_shows_its_place_its_size_and_its_learning_rate_alone() -> None:
    shown = shown_settings("lora", configuration("lora", {}).model_dump(mode="json"))
    assert (shown.place, shown.size, shown.others) == ("qv, all", "rank 8", ())
    assert shown.rest == f"rank 8, lr {shown.learning_rate}"


@pytest.mark.parametrize("name", methods())
def test_of_no_method_a_default_is_shown_as_a_setting_of_its_own(name: str) -> None:
    settings = configuration(name, {}).model_dump(mode="json")
    shown = shown_settings(name, settings)
    assert shown.others == ()
    assert shown.targets == settings.get("targets", "")
    assert float(shown.learning_rate) == pytest.approx(settings["learning_rate"], rel=0.01)
    size = methods()[name].size_knob
    assert shown.size.partition(" ")[0] == (size if size not in (None, "layers") else "")


def test_what_is_not_the_default_is_shown() -> None:
    text = settings_text("lora", {"targets": "mlp", "layers": 3, "rank": 4, "learning_rate": 0.00123, "dropout": 0.1})
    assert text == "mlp, 3, rank 4, lr 0.00123, dropout 0.1"


def test_the_seed_of_a_search_is_not_a_setting_to_compare() -> None:
    settings = configuration("sparta", {"seed": 7}).model_dump(mode="json")
    assert "seed" not in settings_text("sparta", settings)


def test_of_a_method_that_is_not_built_here_every_setting_is_shown() -> None:
    assert settings_text("road", {"targets": {"names": ["Wqkv", "Wo"]}, "variant": "road_1", "frozen": True}) == (
        "names: [Wqkv, Wo], variant road_1, frozen true"
    )
    assert settings_text("head", {"learning_rate": 1e-3}) == "lr 0.001"
