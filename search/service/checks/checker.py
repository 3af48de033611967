"""`python -m search.service.checks.checker … -- FILE`: a check of a spec that is confined as specs are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from search.command_process import complaint, exit_code
from search.counting import count_configuration
from search.service.settings import Settings, job_options, job_settings, within
from search.terminal import print_json
from search.validation import validate
from spaces.spec.spec import parse_spec


class Check(BaseModel):
    """The content of FILE: a spec that is validated or, with a method, a configuration that is counted on its model."""

    spec: dict[str, Any]
    method: str | None = None
    settings: dict[str, Any] = {}


def check_command(settings: Settings, check: Check, file: Path) -> list[str]:
    """Write the check to `file`, and return the command line that makes it where the operator allows it to read."""
    # A file, for settings may be longer than an argument of a command can be.
    file.write_text(check.model_dump_json(), encoding="utf-8")
    return [sys.executable, "-m", "search.service.checks.checker", *job_options(settings), "--", str(file)]


def main() -> int:
    """Make the check, and print its document as JSON. The exit code is that of a command."""
    options, (file,) = _parted(sys.argv[1:])
    _, settings = job_settings(argparse.ArgumentParser(description=__doc__), options)
    check = Check.model_validate_json(Path(file).read_bytes())
    with within(settings):
        return exit_code(lambda: print_json(_document(check)))


def _document(check: Check) -> BaseModel:
    spec = parse_spec(check.spec)
    if check.method is None:
        return validate(spec)
    return count_configuration(spec, check.method, check.settings, _note)


def _note(text: str) -> None:
    print(complaint(text), file=sys.stderr)


def _parted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before and behind the first `--`."""
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


if __name__ == "__main__":
    sys.exit(main())
