"""Tokens are random, kept as hashes, and have a role."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.service.tokens import holder_of, make_token, read_holders
from spaces.errors import RequestError


def test_a_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    ours, theirs = make_token(file, "ours", "run"), make_token(file, "theirs", "read")
    assert ours != theirs
    assert ours not in file.read_text()
    assert theirs.removeprefix("paretune_") not in file.read_text()
    holders = read_holders(file)
    found = [holder_of(one, holders) for one in (ours, theirs)]
    assert [one and (one.name, one.role) for one in found] == [("ours", "run"), ("theirs", "read")]
    assert holder_of(ours[:-1], holders) is None
    assert holder_of("", holders) is None
    assert [one.may("read") for one in holders] == [True, True]
    assert [one.may("run") for one in holders] == [True, False]


def test_a_name_has_one_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    make_token(file, "ours", "run")
    kept = file.read_text()
    with pytest.raises(RequestError, match="token ours: has one already"):
        make_token(file, "ours", "read")
    assert file.read_text() == kept


@pytest.mark.parametrize("text", ["no holder\n", json.dumps({"name": "a", "role": "all", "digest": "0"})])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(RequestError, match="a line is no holder; allowed: a file that `paretune token` wrote"):
        read_holders(file)
    with pytest.raises(RequestError, match="No such file"):
        read_holders(tmp_path / "none")
