"""Patterns: the files that they match, and the rows that errors name."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.errors import RequestError
from trainables.allowed_folders import reading_only
from trainables.data.sources.patterns import check_no_pattern, matching_files
from trainables.data.tables import read_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.csv").write_text("text,label\nthree,c\n")
    (tmp_path / "a.csv").write_text("text,label\none,a\ntwo,b\n")
    return tmp_path


def test_files_are_read_one_after_the_other(folder: Path) -> None:
    table = read_table("data.train", f"{folder}/*.csv", [("data.text", "text")])
    assert table.columns == {"text": ["one", "two", "three"]}
    assert str(table.problem(2, "wrong")).endswith("*.csv: row 1 of b.csv: wrong")
    assert list(table.folders) == [folder] * 3


def test_a_file_that_lacks_a_column_is_named(folder: Path) -> None:
    (folder / "c.csv").write_text("other\nx\n")
    with pytest.raises(RequestError, match=r"data\.text = text: no such column in .*c\.csv; allowed: other"):
        read_table("data.train", f"{folder}/?.csv", [("data.text", "text")])


def test_a_pattern_that_matches_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(RequestError, match=r"data\.train = .*\*\.jsonl: matches no file; allowed: a pattern that"):
        matching_files("data.train", f"{folder}/*.jsonl")


def test_a_file_of_that_very_name_is_no_pattern(folder: Path) -> None:
    (folder / "a[1].csv").write_text("text\nx\n")
    assert matching_files("data.train", f"{folder}/a[1].csv") is None
    assert matching_files("data.train", f"{folder}/a.csv") is None


def test_a_confined_process_reads_no_pattern(folder: Path) -> None:
    with reading_only([folder]), pytest.raises(RequestError, match="a pattern; allowed: one file, or a list"):
        matching_files("data.train", f"{folder}/*.csv")


def test_a_reader_of_few_folders_is_given_names_of_files(folder: Path) -> None:
    check_no_pattern("data.train", f"{folder}/a.csv")
    with pytest.raises(
        RequestError, match=r"data\.train = .*\*\.csv: a pattern; allowed: one file, or a list of files"
    ):
        check_no_pattern("data.train", f"{folder}/*.csv")
