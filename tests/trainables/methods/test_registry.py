"""Tuners by the name of their method: those that are built in, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from spaces.errors import RequestError
from spaces.methods.registry import methods
from tests.installed import install
from trainables import register_tuners
from trainables.methods.registry import GROUP, adapters, check_tuners

TUNER = """
from trainables.methods.lora.lora import Lora

class Renamed(Lora):
    name = "renamed"

ADAPTERS = (Renamed(),)
"""


@pytest.fixture
def renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with a tuner is installed."""
    install(tmp_path, "some-tuners", GROUP, {"renamed": "tuner_of_a_package"}, tuner_of_a_package=TUNER)
    monkeypatch.syspath_prepend(str(tmp_path))
    adapters.cache_clear()
    yield
    adapters.cache_clear()


def test_every_method_has_a_tuner_and_the_other_way_round() -> None:
    assert set(adapters()) == set(methods())
    check_tuners(methods())


def test_peft_knows_them_once_they_are_registered() -> None:
    register_tuners()
    assert {"SPARTA", "DST", "SURM_CIRCULANT"} <= {str(kind.value).upper() for kind in PEFT_TYPE_TO_CONFIG_MAPPING}


def test_a_method_without_a_tuner_is_refused() -> None:
    with pytest.raises(RequestError, match=f"methods.renamed: has no tuner; allowed: .* in {GROUP}"):
        check_tuners(["lora", "renamed"])


@pytest.mark.usefixtures("renamed")
def test_a_tuner_of_a_package_is_found() -> None:
    check_tuners(["lora", "renamed"])
    assert list(adapters())[-1] == "renamed"
