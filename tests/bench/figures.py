"""What benchmarks share: a median with its spread, the versions that were measured, and data that cost nothing."""

from __future__ import annotations

import csv
import os
import platform
import random
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

WORDS = ("fine", "great", "lovely", "warm", "poor", "awful", "cold", "dull", "the", "film", "was", "and", "so", "very")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Their number, median, and lower and upper quartile; of a single value all three are that value."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {"count": len(values), "median": statistics.median(values), "low": low, "high": high}


def cell(found: dict[str, float], form: str = ".3f") -> str:
    """A spread as a table shows it."""
    return f"{found['median']:{form}} ({found['low']:{form}} to {found['high']:{form}})"


def facts(*packages: str) -> dict[str, Any]:
    """The machine, and the versions of Python and of packages."""
    found: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count()}
    return found | {"python": platform.python_version()} | {name: version(name) for name in packages}


def write_sentences(file: Path, rows: int, words: int, seed: int) -> Path:
    """A labelled CSV of random sentences, each of as many words; every word is one token of a BERT."""
    generator = random.Random(seed)
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("text", "label"))
        for _ in range(rows):
            writer.writerow((" ".join(generator.choices(WORDS, k=words)), generator.randrange(2)))
    return file
