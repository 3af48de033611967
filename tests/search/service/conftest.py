"""One service for all tests of it, searches that it ran, and a browser that looks at them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from spaces.spec.spec import parse_spec
from tests.conftest import Workplace
from tests.search.service.alone import Alone, alone_in
from tests.search.service.browsing import SECONDS, Opener
from tests.search.service.surroundings import BY_LOSS, FIRST, Running, surroundings


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> Iterator[Running]:
    place = Workplace(tmp_path_factory.mktemp("service"), tiny_model, tiny_data)
    with surroundings(place, "--metric-module=sklearn.metrics") as running:
        yield running


@pytest.fixture(scope="session")
def finished(service: Running) -> str:
    """A search that was launched and ran to its end, confirmation and all."""
    return ended(service, "first", **FIRST)


@pytest.fixture(scope="session")
def second(service: Running) -> str:
    """Another one, whose front has several points."""
    name = ended(service, "second", search={"trials": 8, "seed": 1}, **BY_LOSS)
    front = service.client.front(name)
    assert len(front.front) > 1
    assert front.best is not None
    return name


@pytest.fixture(scope="session")
def confirmed(service: Running) -> str:
    """One whose points were trained again on several seeds, by a quality that no two of them share."""
    again: dict[str, Any] = {"objective": {"metric": "loss"}, "confirm": {"top": 2, "seeds": 3}}
    return ended(service, "confirmed", search={"trials": 4, "seed": 2}, training={"max_steps": 180}, **again)


def ended(service: Running, name: str, **sections: dict[str, Any]) -> str:
    status = service.client.launch(parse_spec(service.values(name, **sections)))
    assert status.state in ("queued", "running")
    assert service.client.wait(name).state == "finished"
    return name


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=1000 * SECONDS)
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container seldom has.
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser, service: Running) -> Iterator[Opener]:
    """Opens the page at an address; an error of a script or of the policy fails the test."""
    opener = Opener(browser, service.url, service.token)
    yield opener
    opener.close()
    assert opener.errors == []


@pytest.fixture
def alone(tmp_path: Path, empty_database: Path) -> Alone:
    return alone_in(tmp_path, empty_database)
