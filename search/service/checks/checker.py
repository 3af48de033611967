"""`python -m search.service.checks.checker … -- COMMAND …`: run a command that reads only what specs may name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from search.cli.main import run
from search.service.settings import Settings, job_options, job_settings
from trainables.allowed_folders import reading_only


def confined_command(settings: Settings, arguments: Sequence[str]) -> list[str]:
    """Return the command line that runs a command of this installation confined to the readable folders."""
    return [sys.executable, "-m", "search.service.checks.checker", *job_options(settings), "--", *arguments]


def main() -> int:
    """Run the command and return its exit code."""
    options, command = _parted(sys.argv[1:])
    _, settings = job_settings(argparse.ArgumentParser(description=__doc__), options)
    with reading_only(settings.readable):
        return run(command)


def _parted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments at the first `--`."""
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


if __name__ == "__main__":
    sys.exit(main())
