"""The modules of which mutants are made, and the tests that should notice them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

TARGETS: Mapping[str, tuple[str, ...]] = {
    "spaces/pareto": ("tests/spaces/pareto",),
    "spaces/space": ("tests/spaces/space",),
    "spaces/methods/base": ("tests/spaces/methods", "tests/spaces/space"),
    "trainables/methods/dst": ("tests/trainables/methods/dst",),
    "trainables/tuners/sparse": (
        "tests/trainables/tuners/sparse",
        "tests/trainables/methods/test_sparta.py",
        "tests/trainables/methods/dst",
    ),
    "search/suggest": ("tests/search/suggest",),
    "tracking/writing": ("tests/tracking/writing", "tests/tracking/test_queries.py"),
}
"""By folder, the tests beyond the module's own test file."""


def modules() -> list[str]:
    """The modules, as paths from the root of the repository."""
    found = [path for folder in TARGETS for path in sorted((ROOT / folder).glob("*.py"))]
    return [str(path.relative_to(ROOT)) for path in found if path.name != "__init__.py"]


def own_tests(module: str) -> tuple[str, ...]:
    """The test file of a module; the folder's tests where the module, being a part of a method, has none."""
    path = Path(module)
    file = Path("tests") / path.parent / f"test_{path.name}"
    return (str(file if (ROOT / file).exists() else file.parent),)


def other_tests(module: str) -> tuple[str, ...]:
    """The further tests that should notice a mutant of a module."""
    return TARGETS[str(Path(module).parent)]
