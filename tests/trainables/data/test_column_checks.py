"""Values of columns: when two are the same label, and what is a number."""

from __future__ import annotations

import json
import math
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.errors import RequestError
from trainables.data.column_checks import (
    check_distinct,
    check_twins,
    class_names,
    class_positions,
    label_order,
    near_twins,
    numbers,
    texts,
)
from trainables.data.labels import label_key, label_name
from trainables.data.tables import Table, read_table

COLUMNS = [("data.text", "text"), ("data.label", "label")]


def table(values: list[Any], column: str = "label") -> Table:
    return Table("data.train", "x.csv", {column: values}, range(1, len(values) + 1), [Path()] * len(values))


def refused(values: list[Any]) -> str:
    """The line that a training split with these labels is refused with."""
    labels = table(values)
    with pytest.raises(RequestError) as error:
        check_twins(labels, "label", class_names(labels, "label"))
    return str(error.value)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["1", "1.0", "1.00", "1.", 1, 1.0, Decimal("1.00"), " 1 "], {"1"}),
        (["0", "0.0", "-0", "-0.0", 0, -0.0], {"0"}),
        (["-3", -3.0, "-3.0"], {"-3"}),
        (["0.5", 0.5], {"0.5"}),
        (["007"], {"007"}),
        (["1.10", "2.5"], {"1.10", "2.5"}),
        (["NA", "null", "None", "nan", "N/A"], {"NA", "null", "None", "nan", "N/A"}),
        (["1_000", "１", "0x1", "1e3"], {"1_000", "１", "0x1", "1e3"}),
        ([True, False], {"True", "False"}),
        (["e\u0301", "é"], {"é"}),
        ([2**63, str(2**63), float(2**63)], {str(2**63)}),
    ],
)
def test_equal_numbers_are_one_label_and_text_stays_text(values: list[Any], names: set[str]) -> None:
    labels = [name for value in values for name in class_names(table([value]), "label")]
    assert set(labels) == names
    check_twins(table(list(values)), "label", labels)


@given(st.one_of(st.integers(-(10**20), 10**20), st.floats(-(2.0**53), 2.0**53), st.decimals(-9, 9)))
def test_a_number_and_its_text_are_the_same_label(value: int | float | Decimal) -> None:
    """However Python, JSON or pandas write it."""
    plain = f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)
    written = [str(value), plain, f"{plain}.0" if isinstance(value, int) else plain]
    keys = {label_key(label_name(one)) for one in (value, *written)}
    assert keys == {Decimal(str(value))}
    assert label_name(label_name(value)) == label_name(value)


@given(st.text(min_size=1))
def test_two_normal_forms_of_a_text_are_the_same_label(text: str) -> None:
    forms = {label_name(unicodedata.normalize(form, text)) for form in ("NFC", "NFD")}
    assert len(forms) == 1


@pytest.mark.parametrize(
    ("values", "row", "one", "other"),
    [
        (["7", "8", "007"], 3, "'007'", "'7'"),
        (["1000", "1e3"], 2, "'1e3'", "'1000'"),
        (["1.1", "1.10"], 2, "'1.10'", "'1.1'"),
        (["１", "1"], 2, "'1'", "'１'"),
        (["true", "True"], 2, "'True'", "'true'"),
        (["not spam", "not\u00a0spam"], 2, r"'not\xa0spam'", "'not spam'"),
        (["not spam", "not  spam"], 2, "'not  spam'", "'not spam'"),
        (["ﬁne", "fine"], 2, "'fine'", "'ﬁne'"),
        (["spam", "spam\u200b"], 2, r"'spam\u200b'", "'spam'"),
    ],
)
def test_labels_that_mean_the_same_are_refused(values: list[Any], row: int, one: str, other: str) -> None:
    assert refused(values) == (
        f"data.train = x.csv: row {row}: column 'label' holds the label {one}, and {other} elsewhere, "
        "which means the same; allowed: one way to write it"
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", None], "row 2: column 'label' has no label; allowed: text or a number"),
        (["a", math.nan], "row 2: column 'label' has no label"),
        (["a", " "], "row 2: column 'label' has no label"),
        ([1, math.inf], "row 2: column 'label' holds inf; allowed: text or a number"),
        ([1, True], "row 2: column 'label' holds True, and numbers as well as true or false; allowed: one"),
        ([False, 1.0], "row 2: column 'label' holds 1.0, and numbers as well as true or false; allowed: one"),
        ([b"a", b"b"], "row 1: column 'label' holds b'a'; allowed: text or a number"),
        ([["a"], ["b"]], "row 1: column 'label' holds ['a']; allowed: text or a number"),
        ([{str(i): i for i in range(9999)}], "row 1: column 'label' holds {'0': 0, "),
    ],
)
def test_what_is_no_label_is_named(values: list[Any], expected: str) -> None:
    message = refused(values)
    assert message.startswith(f"data.train = x.csv: {expected}")
    assert len(message) < 250


@pytest.mark.parametrize(
    ("train", "validation", "positions"),
    [
        (["0", "1"], [1, 0.0, "1.0", Decimal(0)], [1, 0, 1, 0]),
        ([0.0, 1.0], ["0", "1", " 1 "], [0, 1, 1]),
        (["false", "true"], [True, "TRUE", False], [1, 1, 0]),
        (["7", "8"], ["007", "8"], [0, 1]),
        (["café", "bar"], ["cafe\u0301", "bar\u00a0"], [1, 0]),
        (["0.5", "1.5"], [0.5, "1.50"], [0, 1]),
    ],
)
def test_labels_of_another_file_are_found_by_meaning(
    train: list[Any], validation: list[Any], positions: list[int]
) -> None:
    labels = label_order(class_names(table(train), "label"))
    assert class_positions(table(validation), "label", labels).tolist() == positions


@pytest.mark.parametrize("value", ["2", 2, True, "A", "good", "a" * 5000])
def test_a_label_that_train_lacks_is_named(value: Any) -> None:
    with pytest.raises(RequestError) as error:
        class_positions(table(["a", value]), "label", ("a", "b", *(f"label {i}" for i in range(5000))))
    assert str(error.value).startswith("data.train = x.csv: row 2: label '")
    assert str(error.value).endswith("label 6, label 7 and 4,992 more")
    assert len(str(error.value)) < 300


def test_files_of_every_form_agree_on_labels(tmp_path: Path) -> None:
    """The same numbers, as pandas writes them: whole ones beside a gap become floats."""
    frame = pandas.DataFrame({"text": ["a", "b", "c", "d"], "label": [0.0, 1.0, 2.0, 1.0]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.astype({"label": "int64"}).to_csv(tmp_path / "x.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "x.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "x.parquet")
    arrays = {"text": arrow.array(frame["text"]), "label": arrow.array([0, 1, 2, 1], arrow.uint8()).dictionary_encode()}
    parquet.write_table(arrow.table(arrays), tmp_path / "y.parquet")
    found = [class_names(read_table("data.train", str(path), COLUMNS), "label") for path in tmp_path.iterdir()]
    assert found == [["0", "1", "2", "1"]] * 5


def test_labels_that_differ_in_capitals_are_pointed_out() -> None:
    assert near_twins(("Spam", "ham", "spam")) == [("Spam", "spam")]
    assert near_twins(("ham", "spam")) == []


# --- numbers


@pytest.mark.parametrize(
    "value", ["1_000", "1,5", "", " ", "１", "nan", "inf", "1e39", 10**400, None, b"1", "0x1", [1]]
)
def test_what_is_no_number_is_named(value: Any) -> None:
    with pytest.raises(RequestError, match=r"row 2: column 'label' holds .*; allowed: a finite number"):
        numbers(table([1, value]), "label")


def test_numbers_in_every_way_to_write_them() -> None:
    values = [1, "1.5", " -3e2 ", "+.5", "7.", Decimal("0.25"), True, np.float32(2).item(), "1E-3"]
    found = numbers(table(values), "label")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([1, 1.5, -300, 0.5, 7, 0.25, 1, 2, 1e-3], np.float32))


def test_large_numbers_close_by_are_no_constant() -> None:
    """They are one number in float32, which is 128 apart there."""
    values = [1_700_000_000 + i for i in range(30)]
    targets = table(values)
    found = numbers(targets, "label")
    assert len(np.unique(found.astype(np.float32))) == 1
    assert found.tolist() == values
    check_distinct(targets, "label", found)
    with pytest.raises(RequestError, match="every row has the label 1700000000; allowed: two labels or more"):
        check_distinct(table([1_700_000_000] * 3), "label", numbers(table([1_700_000_000] * 3), "label"))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_what_float32_holds_stays_float32(values: list[float]) -> None:
    found = numbers(table([*values, 0.5]), "label")
    assert found.dtype == np.float32
    assert found.tolist() == [*values, 0.5]


# --- texts


@pytest.mark.parametrize("value", [None, "", " \t\n", "\u00a0", math.nan])
def test_a_text_that_is_empty_is_named(value: Any) -> None:
    with pytest.raises(RequestError, match="row 2: column 'text' is empty; allowed: text"):
        texts(table(["a", value], "text"), "text")


@pytest.mark.parametrize("value", [5, True, b"a", ["a"], {"0": "a"}, {str(i): "a" * 99 for i in range(9999)}])
def test_what_is_no_text_is_named_in_one_short_line(value: Any) -> None:
    with pytest.raises(RequestError, match=r"row 2: column 'text' holds .*; allowed: text") as error:
        texts(table(["a", value], "text"), "text")
    assert len(str(error.value)) < 300
