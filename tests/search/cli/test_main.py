"""The commands: every one has a help text, and none loads what help does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from search.cli.main import app, run
from search.cli.options import DEFAULT_STORAGE
from spaces.spec.spec import SearchSpec

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_and_its_options_are_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert COMMANDS[name].help.splitlines()[0].split(":")[0][:40] in " ".join(text.split())


def test_the_commands_of_the_service_are_among_them() -> None:
    assert {"launch", "status", "stop", "serve", "token"} < set(COMMANDS)


def test_an_option_of_the_same_name_means_the_same_everywhere() -> None:
    helps: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for option in command.params:
            if option.opts[0] in ("--tracking-uri", "--address", "--server", "--json", "--storage"):
                helps.setdefault(option.opts[0], set()).add(option.help)
    assert helps.pop("--storage") >= {"Folder in which searches keep their runs."}  # `serve` says more of its own
    assert {name: len(said) for name, said in helps.items()} == dict.fromkeys(helps, 1)


def test_the_storage_of_commands_is_that_of_specs() -> None:
    assert Path(SearchSpec.model_fields["storage"].default) == DEFAULT_STORAGE


def test_the_module_runs_like_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "search.cli", "schema"], capture_output=True, text=True, check=True)
    assert '"SearchSpec"' in done.stdout or '"properties"' in done.stdout
