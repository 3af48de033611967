"""`serve` and `token`: what is refused before anything is served, and a token that is printed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.cli.main import run
from search.service.security.tokens import read_holders


def test_a_token_is_printed_and_its_file_holds_only_a_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tokens"
    assert run(["token", "ada", "--role", "run", "--tokens", str(file)]) == 0
    token = capsys.readouterr().out.strip()
    assert len(token) >= 32
    assert token not in file.read_text(encoding="utf-8")
    (holder,) = read_holders(file)
    assert (holder.name, holder.role) == ("ada", "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "--host"),
        (["--tokens", "absent"], "absent"),
        (["--proxy", "nonsense"], "nonsense"),
        (["--metric-module", "no-module"], "--metric-module no-module"),
        (["--storage", "/proc/none"], "/proc"),
    ],
)
def test_a_service_that_cannot_serve_is_refused(
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["serve", "--port", "0", *options]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("paretune: ")
    assert complaint.count("\n") == 1
    assert message in complaint
