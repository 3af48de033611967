"""YAML files, and the one line about those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.errors import RequestError
from spaces.spec.yaml_file import read_yaml


def test_values_are_read_with_a_byte_order_mark_and_merges(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("base: &base {a: 1, b: 2}\nown: {<<: *base, b: 3}\nname: ä\n", encoding="utf-8-sig")
    assert read_yaml(path) == {"base": {"a": 1, "b": 2}, "own": {"a": 1, "b": 3}, "name": "ä"}
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: 2\na: 3\n", r"not YAML \(line 3, column 1: 'a' is given twice\)"),
        (b"outer: {a: 1, a: 2}", r"not YAML \(line 1, column 15: 'a' is given twice\)"),
        (b"a: [1,", r"not YAML \(line 1, column 7: "),
        (b"a: b: c", r"not YAML \(line 1, column 5: mapping values are not allowed here\)"),
        (b"a: 2026-99-99", r"not YAML \(month must be in 1\.\.12\)"),
        (b"a: \x80", r"is not text in UTF-8"),
        (b"a: !!python/object:os.system x", r"not YAML \(line 1, column 4: "),
        (b"[" * 10_000, r"not YAML \("),
    ],
)
def test_anything_else_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=said) as raised:
        read_yaml(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert str(raised.value).endswith("; allowed: a spec in YAML")
    assert len(str(raised.value).splitlines()) == 1


def test_a_folder_and_an_absent_file_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "absent", "No such file or directory")):
        with pytest.raises(RequestError, match=rf"cannot be read \({reason}\); allowed: a file with a spec in YAML$"):
            read_yaml(path)
