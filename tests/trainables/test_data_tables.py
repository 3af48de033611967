from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spaces.errors import RequestError
from spaces.sections import HubSource
from trainables.data.tables import read_table

COLUMNS = [("data.text", "text"), ("data.label", "label")]
# Words and numbers that readers like to take for something else.
TRICKY = [
    "null",
    "NA",
    "nan",
    "",
    "123",
    "0123",
    "1e5",
    "true",
    "2020-01-01",
    " spaced ",
    'a "quoted", text',
    "two\nlines",
    "ß",
]


def write_csv(path: Path, rows: list[list[str]], delimiter: str = ",") -> None:
    quoted = [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    path.write_text("\n".join(quoted) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: list[list[Any]]) -> None:
    header, *values = rows
    path.write_text("\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in values), encoding="utf-8")


def write_json(path: Path, rows: list[list[Any]]) -> None:
    header, *values = rows
    path.write_text(json.dumps([dict(zip(header, row, strict=True)) for row in values]), encoding="utf-8")


def write_parquet(path: Path, rows: list[list[Any]]) -> None:
    header, *values = rows
    parquet.write_table(arrow.table({name: [row[i] for row in values] for i, name in enumerate(header)}), path)


WRITERS = {
    "x.csv": write_csv,
    "x.tsv": lambda path, rows: write_csv(path, rows, "\t"),
    "x.jsonl": write_jsonl,
    "x.json": write_json,
    "x.parquet": write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_form_gives_the_texts_unchanged(tmp_path: Path, name: str) -> None:
    rows = [["other", "text", "label"], *(["-", text, "7"] for text in TRICKY)]
    WRITERS[name](tmp_path / name, rows)
    table = read_table("data.train", str(tmp_path / name), COLUMNS)
    assert table.columns == {"text": TRICKY, "label": ["7"] * len(TRICKY)}
    assert list(table.rows) == list(range(1, len(TRICKY) + 1))
    assert table.folder == tmp_path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=1, max_size=5))
@pytest.mark.parametrize("name", WRITERS)
def test_any_text_survives_the_way_through_a_file(tmp_path: Path, name: str, texts: list[str]) -> None:
    WRITERS[name](tmp_path / name, [["text", "label"], *([text, "0"] for text in texts)])
    assert read_table("data.train", str(tmp_path / name), COLUMNS).columns["text"] == texts


def test_typed_files_keep_numbers_and_gaps(tmp_path: Path) -> None:
    rows = [["text", "label"], ["a", 1], ["b", None]]
    for name in ("x.jsonl", "x.json", "x.parquet"):
        WRITERS[name](tmp_path / name, rows)
        assert read_table("data.train", str(tmp_path / name), COLUMNS).columns["label"] == [1, None]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes("\ufefftext,label\nä,0\n".encode())
    assert read_table("data.train", str(tmp_path / "x.csv"), COLUMNS).columns["text"] == ["ä"]


def test_a_csv_field_may_be_longer_than_the_default_limit(tmp_path: Path) -> None:
    text = "word " * 40_000
    write_csv(tmp_path / "x.csv", [["text", "label"], [text, "0"]])
    assert read_table("data.train", str(tmp_path / "x.csv"), COLUMNS).columns["text"] == [text]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.txt", b"a", "unknown suffix '.txt'; allowed: .csv, .json, .jsonl, .parquet, .tsv, or {hub"),
        ("x.csv", None, "no such file"),
        ("x.csv", b"", "has no rows"),
        ("x.csv", b"text,label\n", "has no rows"),
        ("x.jsonl", b"\n", "has no rows"),
        ("x.json", b"[]", "has no rows"),
        ("x.csv", b"text,label\na,1\nb\n", "cannot be read as csv (line 3: 1 fields under a header of 2)"),
        ("x.csv", b'text,label\n"open,1\n', "cannot be read as csv (unexpected end of data)"),
        ("x.csv", b"text,text\na,1\n", "cannot be read as csv (a column is named twice); allowed: a whole csv file"),
        ("x.csv", b"text,label\n\xff\xfe,1\n", "cannot be read as csv ("),
        ("x.jsonl", b'{"text": "a"}\n{"text"\n', "cannot be read as jsonl (line 2: "),
        ("x.jsonl", b"[1]\n", "cannot be read as jsonl (row 1 is not an object with named values)"),
        ("x.json", b"[{", "cannot be read as json ("),
        ("x.json", b"[" * 200_000, "cannot be read as json ("),
        (
            "x.jsonl",
            b'{"text": "a"}\n' + b"[" * 200_000,
            "cannot be read as jsonl (line 2: nested too deeply); allowed",
        ),
        ("x.parquet", b"text,label\n", "cannot be read as parquet ("),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError) as error:
        read_table("data.validation", str(path), COLUMNS)
    assert str(error.value).startswith(f"data.validation = {path}: {message}")
    assert "\n" not in str(error.value)


def test_a_parquet_file_may_name_a_column_once(tmp_path: Path) -> None:
    columns = [arrow.array(["a"]), arrow.array(["b"]), arrow.array([0])]
    parquet.write_table(arrow.Table.from_arrays(columns, ["text", "text", "label"]), tmp_path / "x.parquet")
    with pytest.raises(RequestError, match=r"cannot be read as parquet \(a column is named twice\); allowed: a whole"):
        read_table("data.train", str(tmp_path / "x.parquet"), COLUMNS)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(RequestError, match="cannot be read as csv"):
        read_table("data.train", str(tmp_path / "x.csv"), COLUMNS)


def test_a_missing_column_names_those_that_exist(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", [["sentence", "label"], ["a", "0"]])
    with pytest.raises(RequestError) as error:
        read_table("data.train", str(tmp_path / "x.csv"), COLUMNS)
    assert str(error.value) == f"data.text = text: no such column in {tmp_path / 'x.csv'}; allowed: sentence, label"


def test_rows_keep_their_numbers_when_taken(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", [["text", "label"], *([f"t{i}", "0"] for i in range(5))])
    taken = read_table("data.train", str(tmp_path / "x.csv"), COLUMNS).take([3, 1])
    assert taken.columns["text"] == ["t3", "t1"]
    assert str(taken.problem(0, "bad")) == f"data.train = {tmp_path / 'x.csv'}: row 4: bad"


def test_a_data_set_of_the_hub_s_library_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    write_jsonl(tmp_path / "set" / "test.jsonl", [["text", "label", "other"], ["a", 1, 0], ["b", 0, 0]])
    table = read_table("data.test", HubSource(hub=str(tmp_path / "set"), split="test"), COLUMNS)
    assert table.columns == {"text": ["a", "b"], "label": [1, 0]}
    with pytest.raises(RequestError, match=r"data.test = .*set\[dev\]: cannot be loaded \(.*dev"):
        read_table("data.test", HubSource(hub=str(tmp_path / "set"), split="dev"), COLUMNS)


def test_an_absent_data_set_of_the_hub_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(RequestError) as error:
        read_table("data.train", HubSource(hub="nobody/nothing", name="part"), COLUMNS)
    assert str(error.value).startswith("data.train = nobody/nothing/part[train]: cannot be loaded (Couldn't reach")
