"""The job of a search: what it refuses, and the outages that it finds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from search.service.jobs import search_job
from search.service.jobs.exit_codes import AWAY
from search.service.settings import Settings, job_options
from search.storage import search_folder
from tests.search.heads import free_port
from tests.search.service.alone import Alone
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import want_stop


def test_a_driver_confines_what_stands_in_mlflow(alone: Alone, capsys: pytest.CaptureFixture[str]) -> None:
    (root,) = alone.settings.roots
    (root / "train.csv").touch()
    assert alone.launch("mine").status_code == 201
    alone.spoil("mine", lambda text: text.replace(str(root / "train.csv"), "/etc/passwd.csv"))
    assert _driven("mine", alone.settings) == 2
    assert "data.train = /etc/passwd.csv: nothing that the service may read" in capsys.readouterr().err


def test_a_driver_confines_every_file_of_a_list(alone: Alone, capsys: pytest.CaptureFixture[str]) -> None:
    (root,) = alone.settings.roots
    (root / "train.csv").touch()
    assert alone.launch("mine").status_code == 201
    own = f'"{root / "train.csv"}"'
    alone.spoil("mine", lambda text: text.replace(own, f'[{own}, "/etc/passwd.csv"]'))
    assert _driven("mine", alone.settings) == 2
    assert "data.train = /etc/passwd.csv: nothing that the service may read" in capsys.readouterr().err


def test_a_file_of_a_list_that_went_is_away(alone: Alone, capsys: pytest.CaptureFixture[str]) -> None:
    (root,) = alone.settings.roots
    (root / "train.csv").touch()
    alone.begin(alone.spec("mine", data={"train": [str(root / "train.csv"), str(root / "more.csv")]}))
    assert _driven("mine", alone.settings) == AWAY
    assert f"data.train = {root}/more.csv: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "field", "uri"),
    [
        ("search", "study_storage", "postgresql+psycopg://elsewhere/optuna"),
        ("tracking", "uri", "http://elsewhere:5000"),
    ],
)
def test_a_driver_opens_no_other_places_than_the_operators(
    alone: Alone, capsys: pytest.CaptureFixture[str], section: str, field: str, uri: str
) -> None:
    alone.begin(alone.spec("mine"))
    file = alone.storage / "mine" / "spec.yaml"
    values = yaml.safe_load(file.read_text())
    values[section][field] = uri
    file.write_text(yaml.safe_dump(values))
    assert _driven("mine", alone.settings) == 2
    assert f"{section}.{field}: the service has its own" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../mine", "/etc", ".", "a/b", "a\n"])
def test_a_driver_works_in_no_other_folder(alone: Alone, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert _driven(name, alone.settings) == 2
    assert "no name of a search" in capsys.readouterr().err


def _driven(name: str, settings: Settings) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["driver", name, *job_options(settings)])
        return search_job.main()


@pytest.mark.integration
@pytest.mark.parametrize("begins", [True, False])
def test_a_driver_does_not_begin_what_is_to_stop(
    alone: Alone, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], begins: bool
) -> None:
    """It was submitted before anybody could know."""
    alone.launch("mine")
    if not begins:
        alone.begin(alone.spec("mine"))
    with reading(alone.settings.tracking_uri) as client:
        want_stop(client, alone.request("mine"))
    places = ["--storage", str(alone.storage), "--tracking-uri", alone.settings.tracking_uri]
    monkeypatch.setattr(sys, "argv", ["driver", "mine", *places])
    assert search_job.main() == 1  # not 0, which would say that the search ended by a limit of its own
    assert capsys.readouterr().err.splitlines()[-1] == "paretune: search 'mine' is to stop, and was not begun"
    assert search_folder.exists(alone.storage / "mine") != begins


def drive(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["driver", "mine", *job_options(alone.settings)])
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    return search_job.main()


def storage_is_gone(alone: Alone) -> Path:
    return alone.storage


def tracking_is_gone(alone: Alone) -> Path:
    return Path(alone.settings.tracking_uri.removeprefix("sqlite:///"))


def search_is_gone(alone: Alone) -> Path:
    """The storage is there, and empty: another file system is mounted in its place."""
    return alone.storage / "mine"


def data_is_gone(alone: Alone) -> Path:
    (root,) = alone.settings.roots
    return root / "train.csv"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("missing", "begun"),
    [
        (storage_is_gone, False),
        (storage_is_gone, True),
        (tracking_is_gone, False),
        (tracking_is_gone, True),
        (search_is_gone, True),
        (data_is_gone, True),
    ],
)
def test_a_driver_that_finds_something_away_says_so_and_is_followed_by_another(
    alone: Alone,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    missing: Callable[[Alone], Path],
    begun: bool,
) -> None:
    (root,) = alone.settings.roots
    (root / "train.csv").touch()
    alone.launch("mine")
    if begun:
        alone.begin(alone.spec("mine"))
    place = missing(alone)
    away = place.with_name("elsewhere")
    place.rename(away)
    assert drive(alone, monkeypatch) == AWAY
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("paretune: ")]) == 1
    assert "please report" not in said[-1]
    assert not place.exists()  # nothing was made in its place
    away.rename(place)
    assert drive(alone, monkeypatch) == AWAY
    assert "nothing answers there" in capsys.readouterr().err  # which may be there later as well
