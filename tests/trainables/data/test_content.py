"""The text of a file, and its columns, before any check."""

from __future__ import annotations

import codecs

import pytest

from trainables.data.content import decoded, distinct


def test_utf8_with_or_without_a_mark_is_decoded() -> None:
    text = "größer\nkleiner"
    assert decoded(text.encode()) == text
    assert decoded(codecs.BOM_UTF8 + text.encode()) == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nb".encode("utf-16"), "line 1: UTF-16 instead of UTF-8"),
        (b"one\ntwo\nthr\xe9e", "line 3: byte 0xe9 is not UTF-8"),
        (b"one\rtw\xff", "line 2: byte 0xff is not UTF-8"),
        (b"one\ntw\0o", "line 2: a NUL byte"),
    ],
)
def test_the_line_at_fault_is_named(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decoded(content)


def test_names_occur_once() -> None:
    assert distinct(["a", "b"]) == ["a", "b"]
    with pytest.raises(ValueError, match="a column is named 'b' twice"):
        distinct(["a", "b", "c", "b"])
