"""Comma- and tab-separated files: a row is never merged with another, dropped or changed without a word."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spaces.errors import RequestError
from trainables.data.delimited import read_delimited, read_header
from trainables.data.tables import read_table

COLUMNS = [("data.text", "text"), ("data.label", "label")]
DELIMITERS = {"csv": ",", "tsv": "\t"}
# Without what ends a line or a file to one reader or another.
LETTERS = st.characters(codec="utf-8", exclude_characters="\r\n\0\ufeff")
MENDED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def rows_of(folder: Path, name: str, content: str | bytes) -> list[tuple[str, ...]]:
    """The rows that are read of a file with this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    columns = read_table("data.train", str(path), COLUMNS).columns
    return list(zip(columns["text"], columns["label"], strict=True))


def problem_of(folder: Path, name: str, content: str | bytes) -> str:
    with pytest.raises(RequestError) as error:
        rows_of(folder, name, content)
    message = str(error.value)
    assert message.startswith(f"data.train = {folder / name}: cannot be read as {name[2:]} (line")
    assert message.endswith(f"; allowed: a whole {name[2:]} file in UTF-8")
    assert "\n" not in message
    return message


def test_a_quotation_mark_in_two_texts_of_a_tsv_merges_no_rows(tmp_path: Path) -> None:
    """As GLUE writes them; readers that heed quotes give 61 of these 62 rows."""
    rows = [(f"film {i}", "good" if i % 2 else "bad") for i in range(60)]
    rows[30:30] = [('"so good they said it twice', "good"), ('a dull end"', "bad")]
    content = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    assert len(pandas.read_csv(io.StringIO(content), sep="\t")) == 61
    assert rows_of(tmp_path, "x.tsv", content) == rows


def test_the_same_in_a_csv_is_refused(tmp_path: Path) -> None:
    rows = [*(f"film {i},good" for i in range(9)), '"so good they said it twice,good', 'a dull end",bad', "a film,bad"]
    assert "(lines 11 to 12 are one row within quotes, or several" in problem_of(
        tmp_path, "x.csv", "\n".join(["text,label", *rows])
    )


@MENDED
@given(rows=st.lists(st.tuples(st.text(LETTERS, min_size=1), st.sampled_from("ab")), min_size=1, max_size=8))
def test_a_tsv_without_quoting_has_a_row_a_line(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    """Any text with any quotation marks, unless every one of them could be a field's own."""
    rows = [(text.replace("\t", " "), label) for text, label in rows] + [('an odd " one', "a"), ('"', "b")]
    content = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    assert rows_of(tmp_path, "x.tsv", content) == rows


@MENDED
@given(
    rows=st.lists(
        st.tuples(st.text(st.sampled_from(' ab",\t\n'), min_size=1, max_size=8), st.sampled_from("ab")),
        min_size=1,
        max_size=6,
    ),
    delimiter=st.sampled_from(sorted(DELIMITERS)),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_writer_quotes_is_read_or_refused(
    tmp_path: Path, rows: list[tuple[str, str]], delimiter: str, quoting: int, end: str
) -> None:
    """Python's writer, as pandas' too, quotes what needs it; with a quoted header nothing is refused."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=DELIMITERS[delimiter], quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([("text", "label"), *rows])
    path = tmp_path / f"x.{delimiter}"
    path.write_bytes(file.getvalue().encode())
    try:
        found = list(zip(*read_delimited(path, DELIMITERS[delimiter]).columns.values(), strict=True))
    except ValueError as error:
        assert quoting == csv.QUOTE_MINIMAL, error  # noqa: PT017
        assert "are one row within quotes, or several" in str(error)  # noqa: PT017
        return
    lines = [line for line in file.getvalue().split("\n") if line.strip("\r")]
    as_lines = [tuple(line.rstrip("\r").split("\t")) for line in lines[1:]]
    # A TSV file each of whose lines is a row without its quotes could be of either kind, and is read by lines.
    assert found == rows or (delimiter == "tsv" and quoting == csv.QUOTE_MINIMAL and found == as_lines)


def test_pandas_writes_what_is_read(tmp_path: Path) -> None:
    texts = ['He said "hi", twice', '"all in quotes"', "two\nlines, and more", "NA", "", "tab\there", "null", "ß"]
    frame = pandas.DataFrame({"text": texts, "label": [*"aabbaabb"]})
    for name, delimiter in DELIMITERS.items():
        path = tmp_path / f"x.{name}"
        frame.to_csv(path, sep=delimiter, index=False)
        content = read_delimited(path, delimiter)
        assert content.columns["text"] == texts
        assert content.notes == ("1 rows run over line ends, within quotes; the first begins at line 4",)
        frame.iloc[[0, 1, 3]].to_csv(path, sep=delimiter, index=False)
        assert read_delimited(path, delimiter).columns["text"] == [texts[0], texts[1], texts[3]]


def test_quotes_that_stand_for_themselves_in_a_tsv_stay(tmp_path: Path) -> None:
    rows = [('"fine"', "a"), ("plain", "b"), ('5" wide', "a"), ('""', "b")]
    content = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    assert rows_of(tmp_path, "x.tsv", content) == rows
    assert rows_of(tmp_path, "x.tsv", 'text\tlabel\n"fine"\ta\n"dull"\tb\n') == [("fine", "a"), ("dull", "b")]


@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
@pytest.mark.parametrize(
    "content",
    [
        "text,label\na film,1\n\nb film,2\n",
        "\ntext,label\na film,1\nb film,2",
        "text,label\r\na film,1\r\nb film,2\r\n",
        "text,label\ra film,1\rb film,2\r",
        "text,label\r\r\na film,1\r\r\nb film,2\r\r\n",
        "\ufefftext,label\na film,1\nb film,2\n",
        "text,label\n\na film,1\nb film,2\n\n\n",
        ",text,label\n0,a film,1\n1,b film,2\n",
        "text,label,,,\na film,1,,,\nb film,2,more,,\n",
        '"text","label"\n"a film","1"\n"b film","2"\n',
    ],
)
def test_ends_of_lines_gaps_and_unnamed_columns(tmp_path: Path, name: str, content: str) -> None:
    content = content.replace(",", DELIMITERS[name[2:]])
    assert rows_of(tmp_path, name, content) == [("a film", "1"), ("b film", "2")]
    assert read_header(tmp_path / name, DELIMITERS[name[2:]]) == ["text", "label"]


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x0c", "\x1e"])
def test_what_only_python_takes_for_the_end_of_a_line_is_text(tmp_path: Path, separator: str) -> None:
    for name, delimiter in DELIMITERS.items():
        content = f"text{delimiter}label\na{separator}b{delimiter}1\n"
        assert rows_of(tmp_path, f"x.{name}", content) == [(f"a{separator}b", "1")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("text,label\na,1\nb\n", "line 3: 1 fields under a header of 2"),
        ("text,label\na,1\nb,2,3\n", "line 3: 3 fields under a header of 2"),
        ('text,label\n"a",1\n"b\nc",2,3\n', "line 4: 3 fields under a header of 2"),
        ("text,label\na,1\nb\rc,1\n", "line 3: a carriage return within the line"),
        ("text,label\na,1\nb,2\0\n", "line 3: a NUL byte"),
        ("text,label\na,1\nü,2\n".encode("latin-1"), "line 3: byte 0xfc is not UTF-8"),
        ("text,label\na,1\n".encode("utf-16"), "line 1: UTF-16 instead of UTF-8"),
        ("text,label\na,1\n".encode("utf-16-le"), "line 1: a NUL byte"),
    ],
)
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_a_bad_line_is_named(tmp_path: Path, name: str, content: str | bytes, expected: str) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    raw = raw.replace(b",", DELIMITERS[name[2:]].encode())
    assert f"({expected})" in problem_of(tmp_path, name, raw)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.csv", 'text,label\na,1\n"b,2\nc,3\n', "line 3: its quotes are never closed"),
        ("x.csv", 'text,label\n"a" b,1\n', "line 2: ',' expected after '\"'"),
        ("x.csv", "text;label\na;1\n", "line 1: one column, separated by ';' perhaps; a file of this suffix is separ"),
        ("x.tsv", "text,label\na,1\n", "line 1: one column, separated by ',' perhaps"),
        ("x.tsv", 'text\tlabel\n"a\nb\tc"\t1\n', "lines 2 to 3 are one row within quotes, or several"),
        ("x.tsv", 'text\tlabel\n"a\t1\nb\n"c\t1\n', "line 3: 1 fields under a header of 2"),
    ],
)
def test_a_line_that_the_dialect_does_not_have(tmp_path: Path, name: str, content: str, expected: str) -> None:
    assert expected in problem_of(tmp_path, name, content)


def test_a_column_that_is_named_twice(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label,text\na,1,b\n")
    with pytest.raises(RequestError, match=r"\(a column is named 'text' twice\)"):
        read_table("data.train", str(tmp_path / "x.csv"), COLUMNS)


@pytest.mark.parametrize("header", ["great film,good", "id;text;label, 0 or 1", "text,,", '"a, b",label'])
def test_a_header_without_the_columns_says_which_there_are(tmp_path: Path, header: str) -> None:
    (tmp_path / "x.csv").write_text(f"{header}\n")
    assert read_header(tmp_path / "x.csv", ",") == [name for name in next(csv.reader([header])) if name]
    (tmp_path / "x.csv").write_text(f"{header}\n{header}\n")
    with pytest.raises(RequestError, match=r"no such column in .*x.csv; allowed: "):
        read_table("data.train", str(tmp_path / "x.csv"), COLUMNS)


def test_a_text_may_run_over_lines_where_the_file_shows_that_it_quotes(tmp_path: Path) -> None:
    rows = [("hello, my\nfriend", "good"), ("well, then", "bad")]
    content = 'text,label\n"hello, my\nfriend",good\n"well, then",bad\n'
    assert rows_of(tmp_path, "x.csv", content) == rows
    assert "lines 2 to 3" in problem_of(tmp_path, "x.csv", 'text,label\n"hello, my\nfriend",good\n')
    assert rows_of(tmp_path, "x.csv", 'text,label\n"hello\nmy friend",good\n') == [("hello\nmy friend", "good")]
