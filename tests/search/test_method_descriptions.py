"""Methods described: their settings with ranges."""

from __future__ import annotations

import pytest

from search.method_descriptions import chosen, describe, methods
from spaces.errors import RequestError
from spaces.methods.registry import method
from spaces.methods.registry import methods as all_methods


def test_every_method_or_one() -> None:
    assert [one.name for one in methods().methods] == list(all_methods())
    assert [one.name for one in methods("dst").methods] == ["dst"]
    assert chosen("lora") == [method("lora")]
    with pytest.raises(RequestError, match=r"methods loar: unknown \(did you mean lora\?\); allowed: "):
        methods("loar")


@pytest.mark.parametrize("name", all_methods())
def test_a_setting_is_searched_where_values_are_drawn_for_it(name: str) -> None:
    described, known = describe(method(name)), method(name)
    settings = {knob.name: knob for knob in described.knobs}
    assert list(settings) == list(known.configuration.model_fields)
    assert {one for one, knob in settings.items() if knob.searched} == {
        "learning_rate",
        *(("targets", "layers") if known.placed else ()),
        *known.knobs,
        *((known.size_knob,) if known.size_knob else ()),
    }
    default = known.configuration()
    assert all(knob.default == getattr(default, one) for one, knob in settings.items())
