"""Attacks on files: the running service, its driver and its exporter read nothing but what lies in the roots.

What each of these refuses is tried case by case in tests/trainables/test_allowed_folders.py and
tests/search/service/security/test_path_confinement.py; here they are the processes that a deployment runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.client import Client
from search.documents.service import ExportRequest
from spaces.errors import RequestError
from spaces.spec.spec import parse_spec
from tests.search.processes import wait_for
from tests.search.service.surroundings import Running
from tracking.mlflow_store.client import reading
from tracking.mlflow_store.launch_requests import add_request

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("service")]


@pytest.fixture
def own(service: Running) -> Iterator[Path]:
    """A folder in a root with a model and data; beside the roots `outside`, with the same files."""
    root = service.place.data / "own"
    shutil.copytree(service.place.model, root / "model")
    for name in ("train.csv", "validation.csv"):
        shutil.copy(service.place.data / name, root / name)
    shutil.copytree(root, service.place.folder / "outside")
    yield root
    shutil.rmtree(root)
    shutil.rmtree(service.place.folder / "outside")


def test_what_was_swapped_for_a_link_is_neither_trained_on_nor_exported(service: Running, own: Path) -> None:
    def swap(name: str) -> None:
        (own / name).unlink()
        (own / name).symlink_to(service.place.folder / "outside" / name)

    data = {"train": str(own / "train.csv"), "validation": str(own / "validation.csv"), "max_length": 16}
    sections: dict[str, Any] = {"model": {"path": str(own / "model")}, "data": data, "search": {"trials": 1}}
    service.client.launch(parse_spec(service.values("swapped", **sections)))
    assert service.client.wait("swapped").state == "finished"

    # Asked for where others may write, and not of the service, which would have looked.
    swap("train.csv")
    with reading(service.tracking_uri) as mlflow:
        add_request(mlflow, parse_spec(service.values("slipped-in", **sections, storage=str(service.storage))))
    failed = service.client.wait("slipped-in")
    assert failed.state == "failed"
    assert failed.message is not None
    assert "data.train = " in failed.message
    assert "nothing that the service may read" in failed.message

    swap("model/tokenizer.json")
    asked = service.client.export("swapped", ExportRequest(trial="0000"))
    wait_for(lambda: service.client.exported("swapped", asked.id).state not in ("queued", "running"))
    export = service.client.exported("swapped", asked.id)
    assert export.state == "failed"
    assert "holds tokenizer.json, which leads elsewhere" in (export.message or "")


def test_a_data_set_that_lists_files_elsewhere_tells_nothing(service: Running, own: Path) -> None:
    (own / "set").mkdir()
    train = service.place.folder / "outside" / "train.csv"
    (own / "set" / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {train}\n---\n")
    values = service.values("listed", data={"train": {"hub": str(own / "set")}, "validation": None})
    with pytest.raises(RequestError, match="its own list of files has") as refused:
        Client(service.url, service.token).validate(parse_spec(values))
    assert "good" not in str(refused.value)
