"""Modules with metrics of a user's own, as files of the folder in which the user works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from spaces.spec import own_metric

SOURCE = '''
from {helper} import share


def right(predictions, references):
    """The percentage of predictions that are right."""
    return 100 * share([one == other for one, other in zip(predictions, references)])


right.perfect = 100


def wrong(predictions, references):
    return 1 - share([one == other for one, other in zip(predictions, references)])


wrong.mode = "min"
NUMBER = 3


def raises(predictions, references):
    raise KeyError("no such\\nlabel")


def nothing(predictions, references):
    return float("nan")


def words(predictions, references):
    return {{"f1": 1.0}}


def plain(predictions, references):
    return share([one == other for one, other in zip(predictions, references)])


def upward(predictions, references):
    return plain(predictions, references)


upward.mode = "up"


def endless(predictions, references):
    return 1.0


endless.perfect = float("inf")
'''


@contextmanager
def written_module(folder: Path) -> Iterator[str]:
    """Write a module and another one that it imports, under new names; forget them and their functions afterwards."""
    name, helper = f"metrics_{uuid4().hex[:8]}", f"helper_{uuid4().hex[:8]}"
    (folder / f"{name}.py").write_text(SOURCE.format(helper=helper))
    (folder / f"{helper}.py").write_text("def share(values):\n    return sum(values) / len(values)\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_metric, "_functions", {})
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.chdir(folder)
        yield name
    for module in (name, helper):
        sys.modules.pop(module, None)
