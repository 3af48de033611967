"""One service for all tests of it, and two searches that it ran."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spaces.spec import parse_spec
from tests.conftest import Workplace
from tests.search.service.alone import Alone, alone_in
from tests.search.service.surroundings import Running, surroundings
from tests.tracking.conftest import empty_database as empty_database


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_data: Path) -> Iterator[Running]:
    place = Workplace(tmp_path_factory.mktemp("service"), tiny_model, tiny_data)
    with surroundings(place) as running:
        yield running


@pytest.fixture(scope="session")
def finished(service: Running) -> str:
    """A search that was launched and ran to its end, confirmation and all."""
    return ended(service, "first", confirm={"top": 1, "seeds": 1}, search={"trials": 3})


@pytest.fixture(scope="session")
def second(service: Running) -> str:
    """Another one, whose front has several points."""
    name = ended(service, "second", search={"trials": 8, "seed": 1}, training={"max_steps": 60})
    assert len(service.client.front(name).front) > 1
    return name


def ended(service: Running, name: str, **sections: dict[str, int]) -> str:
    status = service.client.launch(parse_spec(service.values(name, **sections)))
    assert status.state in ("queued", "running")
    assert service.client.wait(name).state == "finished"
    return name


@pytest.fixture
def alone(tmp_path: Path, empty_database: Path) -> Alone:
    return alone_in(tmp_path, empty_database)
