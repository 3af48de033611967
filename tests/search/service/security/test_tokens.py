"""Tokens are random, kept as hashes, and have a role."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from search.service.security.tokens import holder_of, make_token, read_holders
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


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(b'\xff\xfe{"name": "a"}\n')
    with pytest.raises(RequestError, match="a line is no holder; allowed: a file that `paretune token` wrote"):
        read_holders(file)
    with pytest.raises(RequestError, match="a line is no holder"):
        make_token(file, "ours", "run")


def test_tokens_made_at_once_are_all_kept(tmp_path: Path) -> None:
    """By processes of their own, as `paretune token` makes them."""
    file, names = tmp_path / "made" / "tokens", [f"n{number}" for number in range(6)]
    with ProcessPoolExecutor(len(names), get_context("spawn")) as processes:
        made = list(processes.map(make_token, [file] * len(names), names, ["read"] * len(names)))
    holders = read_holders(file)
    assert sorted(one.name for one in holders) == names
    assert [getattr(holder_of(token, holders), "name", None) for token in made] == names


def test_the_file_stays_readable_for_whom_it_was(tmp_path: Path) -> None:
    """The service may run as another user, to whom it was opened."""
    file = tmp_path / "tokens"
    make_token(file, "ours", "run")
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    make_token(file, "theirs", "read")
    assert file.stat().st_mode & 0o777 == 0o644
