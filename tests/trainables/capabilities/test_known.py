"""Capabilities that were shipped, or found here with the installed versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainables.capabilities import known
from trainables.capabilities.known import CapabilitiesDescription, installed_versions, remember, shipped

FOUND = CapabilitiesDescription(
    merge=False, several_adapters=True, quantised_base="unknown", stock="none", lora_conversion=False, conv1d=True
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "paretune" / known.FILE


def test_where_nothing_was_tried_the_shipped_ones_are_known(cache: Path) -> None:
    assert {name: one for name, (one, _) in known.known().items()} == shipped().methods
    assert {tuple(versions.items()) for _, versions in known.known().values()} == {tuple(shipped().versions.items())}
    assert not cache.exists()


def test_those_found_here_come_first_and_add_up() -> None:
    remember({"lora": FOUND})
    remember({"mine": FOUND})
    now = known.known()
    assert now["lora"] == now["mine"] == (FOUND, installed_versions())
    assert now["sparta"] == (shipped().methods["sparta"], shipped().versions)


def test_those_of_other_versions_count_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    remember({"lora": FOUND})
    monkeypatch.setattr(known, "version", lambda package: "99.0+cpu")
    assert installed_versions() == dict.fromkeys(known.PACKAGES, "99.0")
    assert known.known()["lora"] == (shipped().methods["lora"], shipped().versions)
    remember({"sparta": FOUND})
    assert known.known()["sparta"][0] == FOUND
    assert known.known()["lora"][0] == shipped().methods["lora"]


@pytest.mark.parametrize("content", ["", "{", '{"versions": {}}', "[]"])
def test_a_spoiled_file_is_none_and_written_anew(cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    assert known.known()["lora"][0] == shipped().methods["lora"]
    remember({"lora": FOUND})
    assert known.known()["lora"][0] == FOUND
    assert list(cache.parent.iterdir()) == [cache]


def test_where_nothing_can_be_kept_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    remember({"lora": FOUND})
    assert known.known()["lora"][0] == shipped().methods["lora"]


def test_a_process_without_a_home_has_a_cache_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    remember({"lora": FOUND})
    assert known.known()["lora"][0] == shipped().methods["lora"]
