from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pandas
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from spaces.errors import RequestError
from spaces.spec.sections import HubSource
from trainables.data.column_checks import class_names, numbers, texts
from trainables.data.images import open_image
from trainables.data.tables import Table, read_table

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
    assert list(table.folders) == [tmp_path] * len(TRICKY)


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


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_blank_lines_and_a_byte_order_mark_are_no_part_of_json(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes('\ufeff\n{"text": "ä", "label": 0}\r\n\n{"label": 1, "text": "b"}\n'.encode())
    assert read_table("data.train", str(tmp_path / name), COLUMNS).columns == {"text": ["ä", "b"], "label": [0, 1]}


@pytest.mark.parametrize("orient", ["columns", "index", "split"])
def test_what_pandas_writes_as_json_by_default_is_refused_in_one_short_line(tmp_path: Path, orient: Any) -> None:
    frame = pandas.DataFrame({"text": ["a film"] * 3000, "label": [0, 1] * 1500})
    frame.to_json(tmp_path / "x.json", orient=orient)
    with pytest.raises(RequestError) as error:
        texts(read_table("data.train", str(tmp_path / "x.json"), COLUMNS), "text")
    assert len(str(error.value)) < 300 + len(str(tmp_path))
    assert "; allowed: " in str(error.value)


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
        ("x.jsonl", b'{"text": "a"}\n{"text"\n', "cannot be read as jsonl (line 2: "),
        ("x.jsonl", b"[1]\n", "cannot be read as jsonl (row 1 is not an object with named values)"),
        ("x.jsonl", b'{"text": "a", "label": 0, "text": "b"}', "cannot be read as jsonl (line 1: a column is named 't"),
        (
            "x.jsonl",
            b'{"text": "a"},\n',
            "cannot be read as jsonl (line 1: Extra data); allowed: a whole jsonl file in U",
        ),
        ("x.jsonl", b'{"text": "a"}\n[{"text": "a"}]\n', "cannot be read as jsonl (row 2 is not an object with nam"),
        ("x.jsonl", b'{"text": "a"}\n{"text": "\xfc"}\n', "cannot be read as jsonl (line 2: byte 0xfc is not UTF-8)"),
        ("x.jsonl", '{"text": "a"}'.encode("utf-16"), "cannot be read as jsonl (line 1: UTF-16 instead of UTF-8)"),
        (
            "x.jsonl",
            b'{"text": "a", "label": ' + b"1" * 5000 + b"}",
            "cannot be read as jsonl (line 1: Exceeds the lim",
        ),
        ("x.json", b'[{"text": "a", "text": "b"}]', "cannot be read as json (a column is named 'text' twice)"),
        ("x.json", b'{\n "text": "a"\n}', "cannot be read as json (line 1: Expecting property name"),
        ("x.json", b'[["a", 1]]', "cannot be read as json (row 1 is not an object with named values)"),
        ("x.json", b'[{"text": "a"},]', "cannot be read as json ("),
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


def test_values_of_parquet_are_python_s_own(tmp_path: Path) -> None:
    columns = {
        "text": arrow.array(["a", "b"], arrow.large_string()).dictionary_encode(),
        "label": arrow.array([Decimal("1.00"), None]),
        "time": arrow.array([2**62, -(2**62)], arrow.timestamp("us")),  # beyond what Python has, and not asked for
    }
    parquet.write_table(arrow.table(columns), tmp_path / "x.parquet")
    table = read_table("data.train", str(tmp_path / "x.parquet"), COLUMNS)
    assert table.columns == {"text": ["a", "b"], "label": [Decimal("1.00"), None]}
    with pytest.raises(
        RequestError, match=r"column 'time' of type timestamp\[us\] cannot be read \(.*allowed: text or"
    ):
        read_table("data.train", str(tmp_path / "x.parquet"), [("data.text", "time")])


def classes_of(table: Table) -> list[str]:
    return class_names(table, "label")


@pytest.mark.parametrize("source", ["file", "hub"])
def test_classes_of_the_datasets_library_have_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Parquet has their positions alone; the names stand beside them. As a number for regression a position stays."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    tags = datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"]))
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"]), "tags": tags}
    )
    values = {"text": ["a", "b", "c"], "label": [1, 0, 1], "tags": [[0], [1], [0, 1]]}
    made = datasets.Dataset.from_dict(values, features=features)
    (tmp_path / "set").mkdir()
    path = tmp_path / "set" / "train.parquet"
    made.to_parquet(path)
    given = str(path) if source == "file" else HubSource(hub=str(path.parent))
    table = read_table("data.train", given, COLUMNS)
    assert (
        classes_of(table) == ["positive", "negative", "positive"] == [features["label"].int2str(i) for i in (1, 0, 1)]
    )
    assert classes_of(table.take([1])) == ["negative"]
    assert numbers(table, "label").tolist() == [1, 0, 1]
    assert table.class_names["tags"] == ("O", "B-PER")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1, "row 2: column 'label' has no label"), (2, "row 2: column 'label' holds 2; allowed: 0 to 1, places of clas")],
)
def test_a_position_of_no_class_is_named(tmp_path: Path, value: int, expected: str) -> None:
    """The library writes -1 where a label is withheld."""
    features = {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
    table = arrow.table({"text": ["a", "b"], "label": [0, value]})
    kept = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(kept), tmp_path / "x.parquet")
    with pytest.raises(RequestError) as error:
        classes_of(read_table("data.train", str(tmp_path / "x.parquet"), COLUMNS))
    assert expected in str(error.value)


def test_what_the_library_wrote_of_no_class_is_passed_over(tmp_path: Path) -> None:
    table = arrow.table({"text": ["a", "b"], "label": [0, 1]})
    for kept in ("{", '{"info": {}}', '{"info": {"features": {"label": {"_type": "Value"}, "tags": [{}]}}}'):
        parquet.write_table(table.replace_schema_metadata({"huggingface": kept}), tmp_path / "x.parquet")
        assert classes_of(read_table("data.train", str(tmp_path / "x.parquet"), COLUMNS)) == ["0", "1"]


def test_a_parquet_file_may_name_a_column_once(tmp_path: Path) -> None:
    columns = [arrow.array(["a"]), arrow.array(["b"]), arrow.array([0])]
    parquet.write_table(arrow.Table.from_arrays(columns, ["text", "text", "label"]), tmp_path / "x.parquet")
    with pytest.raises(
        RequestError, match=r"cannot be read as parquet \(a column is named 'text' twice\); allowed: a whole"
    ):
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


def test_files_of_a_list_are_read_one_after_the_other_whatever_their_forms(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [["text", "label"], ["one", "1"]])
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"label,text\n2,two\n1,three\n"))
    write_jsonl(tmp_path / "c.jsonl", [["text", "label", "other"], ["four", 2, 0]])
    table = read_table("data.train", tuple(f"{tmp_path}/{one}" for one in ("c.jsonl", "a.csv", "b*")), COLUMNS)
    assert table.columns["text"] == ["four", "one", "two", "three"]
    assert class_names(table, "label") == ["2", "1", "2", "1"]
    assert str(table.problem(3, "bad")) == f"data.train = {tmp_path}/c.jsonl and 2 more: row 2 of b.csv.gz: bad"


def test_rows_of_files_with_equal_names_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b/c"):
        (tmp_path / folder).mkdir(parents=True)
        write_csv(tmp_path / folder / "part.csv", [["text", "label"], ["x", "0"]])
    table = read_table("data.train", (f"{tmp_path}/a/part.csv", f"{tmp_path}/b/c/part.csv"), COLUMNS)
    assert list(table.rows) == ["1 of a/part.csv", "1 of b/c/part.csv"]


def test_a_list_of_one_file_is_that_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [["text", "label"], ["x", "0"]])
    for one in ((f"{tmp_path}/a.csv",), (f"{tmp_path}/*.csv",)):
        assert read_table("data.train", one, COLUMNS) == read_table("data.train", f"{tmp_path}/a.csv", COLUMNS)


def test_images_lie_in_the_folder_of_their_own_file(tmp_path: Path) -> None:
    for folder, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / folder).mkdir()
        write_csv(tmp_path / folder / "rows.csv", [["image", "label"], ["one.png", "0"], ["../b/one.png", "1"]])
        Image.new("RGB", (1, 1), colour).save(tmp_path / folder / "one.png")
    table = read_table("data.train", (f"{tmp_path}/a/rows.csv", f"{tmp_path}/b/rows.csv"), [("data.image", "image")])
    kept = table.take([2, 0, 1])
    assert [open_image(kept, "image", row).getpixel((0, 0)) for row in (0, 1)] == [(0, 0, 255), (255, 0, 0)]
    with pytest.raises(RequestError, match=r"row 2 of a/rows\.csv: image \.\./b/one\.png: elsewhere; allowed: a path"):
        open_image(kept, "image", 2)


def test_files_that_cannot_be_joined_are_named(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [["text", "label"], ["x", "0"]])
    write_csv(tmp_path / "b.csv", [["text", "class"], ["x", "0"]])
    with pytest.raises(RequestError, match=r"data\.label = label: no such column in .*b\.csv; allowed: text, class"):
        read_table("data.train", (f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"), COLUMNS)
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    datasets.Dataset.from_dict({"text": ["y"], "label": [1]}, features=features).to_parquet(tmp_path / "c.parquet")
    both = (f"{tmp_path}/a.csv", f"{tmp_path}/c.parquet")
    with pytest.raises(RequestError, match=r"c\.parquet: has other classes than .*a\.csv; allowed: the same"):
        read_table("data.train", both, COLUMNS)
    assert read_table("data.train", both, COLUMNS[:1]).columns == {"text": ["x", "y"]}
