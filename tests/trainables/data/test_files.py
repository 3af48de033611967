"""The columns of a file are known before its rows are read, by its suffix."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from spaces.errors import RequestError
from trainables.data.files import column_names, find_file, find_files, read_file

ROWS = [{"text": "a", "label": 1}, {"text": "b", "label": 2}]


def written(folder: Path, suffix: str) -> str:
    path = folder / f"data.{suffix}"
    if suffix in ("csv", "tsv"):
        sign = "," if suffix == "csv" else "\t"
        path.write_text("\n".join(sign.join(row) for row in (["text", "label"], ["a", "1"], ["b", "2"])))
    elif suffix == "parquet":
        parquet.write_table(arrow.Table.from_pylist(ROWS), path)
    else:
        text = json.dumps(ROWS) if suffix == "json" else "\n".join(map(json.dumps, ROWS))
        path.write_text(text)
    return str(path)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "json"])
def test_names_and_rows(suffix: str, tmp_path: Path) -> None:
    source = written(tmp_path, suffix)
    content = read_file("data.train", source)
    assert list(content.columns) == ["text", "label"]
    assert [str(value) for value in content.columns["label"]] == ["1", "2"]
    assert column_names("data.train", source) == (None if suffix == "json" else ["text", "label"])


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"data\.test = x\.txt: unknown suffix '\.txt'; allowed: \.csv, "):
        find_file("data.test", "x.txt")
    absent = str(tmp_path / "x.csv")
    with pytest.raises(RequestError, match="no such file; allowed: a file of examples"):
        find_file("data.test", absent)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(RequestError, match="is a folder"):
        column_names("data.test", str(tmp_path / "folder.csv"))


def test_an_object_that_names_a_value_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": 1, "a": 2}\n')
    with pytest.raises(RequestError, match="line 2: a column is named 'a' twice"):
        read_file("data.train", str(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv.gz", b"text\nfine\n"),
        ("x.tsv.gz", b"text\nfine\n"),
        ("x.jsonl.gz", b'{"text": "fine"}\n'),
        ("x.json.gz", b'[{"text": "fine"}]'),
    ],
)
def test_compressed_text_is_read_as_text(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content))
    assert list(read_file("data.train", str(path)).columns["text"]) == ["fine"]
    assert column_names("data.train", str(path)) in (["text"], None)
    path.write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(RequestError, match="cannot be read as"):
        read_file("data.train", str(path))
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"cannot be read as .* \(Not a gzipped file"):
        read_file("data.train", str(path))


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.csv", "more/c.csv", "images/cat/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link.csv").symlink_to("a.csv")
    return tmp_path


def test_a_list_holds_files_and_patterns_in_its_order(parts: Path) -> None:
    given = (f"{parts}/more/*.csv", f"{parts}/[ab].csv")
    assert find_files("data.train", given) == [f"{parts}/more/c.csv", f"{parts}/a.csv", f"{parts}/b.csv"]
    assert find_files("data.train", f"{parts}/absent.csv") == [f"{parts}/absent.csv"]  # its reader reports it
    assert find_files("data.train", (f"{parts}/images",)) == [f"{parts}/images"]
    assert find_files("data.train", f"{parts}/**/c.*") == [f"{parts}/more/c.csv"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("a.csv", "a.csv"), "a.csv: named twice; allowed: each file once"),
        (("a.csv", "[a-c].csv"), "a.csv: named twice; allowed: each file once"),
        (("a.csv", "link.csv"), "link.csv: named twice, also as {0}/a.csv; allowed: each file once"),
        (("a.csv", "more/../a.csv"), "more/../a.csv: named twice, also as {0}/a.csv; allowed: each file once"),
        (("*.csv",), "link.csv: named twice, also as {0}/a.csv; allowed: each file once"),
        (("a.csv", "images"), "images: a folder beside files; allowed: files, or a folder alone"),
        (("a.csv", "z*.csv"), "z*.csv: matches no file"),
    ],
)
def test_a_list_that_is_not_one_of_different_files_is_refused(
    parts: Path, given: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(RequestError) as caught:
        find_files("data.test", tuple(f"{parts}/{one}" for one in given))
    assert str(caught.value).startswith(f"data.test = {parts}/{problem.format(parts)}")
