"""A data set consists of its own files, whatever its lists say, where this process may not read everywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import yaml

from spaces.errors import RequestError
from spaces.spec.sections import HubSource
from trainables.allowed_folders import reading_only
from trainables.data.data_set_files import own_files
from trainables.data.images import open_image
from trainables.data.tables import Table, read_table

COLUMNS = [("data.text", "text"), ("data.label", "label")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data set in a folder that may be read; beside it a file that may not."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "secret.csv").write_text("text,label\na secret,hidden\n")
    folder = tmp_path / "data" / "reviews"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "one.csv").write_text("text,label\nfine,good\n")
    with reading_only([tmp_path / "data"]):
        yield folder


def describe(folder: Path, name: str = "README.md", **config: Any) -> None:
    text = yaml.safe_dump({"configs": [{"config_name": "default", **config}]})
    (folder / name).write_text(f"---\n{text}---\n" if name.endswith(".md") else text)


def read(folder: Path) -> Table:
    return read_table("data.train", HubSource(hub=str(folder)), COLUMNS)


@pytest.mark.parametrize(
    "config",
    [
        {"data_files": "parts/*.csv"},
        {"data_files": [{"split": "train", "path": ["parts/one.csv"]}]},
        {"data_dir": "parts"},
        {"data_files": "parts/one.csv", "sep": ","},
    ],
)
def test_its_own_files_are_read_as_its_list_says(folder: Path, config: dict[str, Any]) -> None:
    describe(folder, **config)
    assert read(folder).columns == {"text": ["fine"], "label": ["good"]}


def test_without_a_list_all_its_files_are_read(folder: Path) -> None:
    assert read(folder).columns["label"] == ["good"]


@pytest.mark.parametrize("name", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize(
    "config",
    [
        {"data_files": "{0}/secret.csv"},
        {"data_files": "../../secret.csv"},
        {"data_files": "parts/../../../secret.csv"},
        {"data_files": [{"split": "train", "path": ["parts/one.csv", "../../*.csv"]}]},
        {"data_files": [{"split": "train", "path": "parts/one.csv"}, {"split": "test", "path": "/etc/*"}]},
        {"data_dir": "../.."},
        {"data_dir": "{0}"},
        {"data_files": "file://{0}/secret.csv"},
        {"data_files": "local://{0}/secret.csv"},
        {"data_files": "zip://one.csv::{0}/secret.zip"},
        {"data_files": "hf://datasets/another/set/train.csv"},
        {"data_files": "s3://bucket/train.csv"},
    ],
)
def test_files_elsewhere_are_refused(folder: Path, name: str, config: dict[str, Any]) -> None:
    written = json.loads(json.dumps(config).replace("{0}", str(folder.parent.parent)))
    describe(folder, name, **written)
    with pytest.raises(RequestError, match=r"data\.train\.hub = .*: its own list of files has .*within the data set"):
        read(folder)


def test_a_list_that_is_not_the_default_one_is_looked_at_as_well(folder: Path) -> None:
    configs = [
        {"config_name": "fine", "data_files": "parts/one.csv", "default": True},
        {"config_name": "other", "data_files": "../../secret.csv"},
    ]
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n")
    assert read(folder).columns["label"] == ["good"]
    with pytest.raises(RequestError, match="its own list of files has"):
        read_table("data.train", HubSource(hub=str(folder), name="other"), COLUMNS)


def test_no_address_is_asked(folder: Path) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for scheme in ("http", "https"):
            describe(folder, data_files=f"{scheme}://127.0.0.1:{server.server_port}/train.csv")
            with pytest.raises(RequestError, match="its own list of files has"):
                read(folder)
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


@pytest.mark.parametrize("name", ["a.h5", "a.hdf5", "a.eval", "a.toml"])
def test_formats_whose_files_name_others_are_refused(folder: Path, name: str) -> None:
    (folder / "parts" / "one.csv").unlink()
    (folder / name).write_bytes(b"x")
    with pytest.raises(RequestError, match=r"data\.train\.hub = .*: files of \w+; allowed: arrow, conll"):
        read(folder)


@pytest.mark.parametrize("name", ["csv", "pandas", "webdataset"])
def test_a_format_is_no_data_set(folder: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"data.train.hub = {name}: a format and no data set"):
        read_table("data.train", HubSource(hub=name), COLUMNS)


def test_a_cell_that_names_an_image_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    (folder / "parts" / "one.csv").unlink()
    for picture in (tmp_path / "secret.png", folder / "own.png"):
        Image.new("RGB", (2, 2)).save(picture)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    paths = [str(folder / "own.png"), str(tmp_path / "secret.png"), str(folder / "link.png"), "/dev/zero"]
    cells = [{"bytes": None, "path": path} for path in paths]
    parquet.write_table(arrow.table({"picture": cells, "label": ["a"] * 4}), folder / "train.parquet")
    describe(folder, data_files="train.parquet")
    table = read_table("data.train", HubSource(hub=str(folder)), [("data.image", "picture")])
    assert open_image(table, "picture", 0).size == (2, 2)
    for position in (1, 2, 3):
        with pytest.raises(RequestError, match=f"row {position + 1}: image .*: lies elsewhere; allowed: one of the"):
            open_image(table, "picture", position)


def test_a_command_reads_whatever_a_list_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    (tmp_path / "other.csv").write_text("text,label\nfine,good\n")
    describe(tmp_path / "set", data_files=str(tmp_path / "other.csv"))
    assert read(tmp_path / "set").columns["label"] == ["good"]


@pytest.mark.parametrize(
    ("pattern", "base"),
    [
        ("/etc/passwd", "hf://datasets/org/set@main"),
        ("../other/train.csv", "hf://datasets/org/set@main"),
        ("http://127.0.0.1:9/train.csv", "hf://datasets/org/set@main"),
        ("zip://train.csv::file:///etc/x.zip", "hf://datasets/org/set@main"),
        ("train.csv", "hf://datasets/org/other@main"),
        ("train.csv", "hf://datasets/org/set2@main"),
        ("train.csv", "hf://datasets/org/set@main/../../other@main"),
        ("train.csv", "/etc"),
    ],
)
def test_the_list_of_a_data_set_of_the_hub_is_held_to_it(tmp_path: Path, pattern: str, base: str) -> None:
    """As `datasets` would resolve it; there is no hub here."""
    from datasets import data_files

    before = data_files.resolve_pattern
    source = HubSource(hub="org/set")
    with (
        reading_only([tmp_path]),
        own_files("data.train", source),
        pytest.raises(RequestError, match="its own list of"),
    ):
        data_files.resolve_pattern(pattern, base)
    assert data_files.resolve_pattern is before
