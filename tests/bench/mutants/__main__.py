"""`python -m tests.bench.mutants`: which small changes of the code no test notices (`make mutants`).

`draw` lists mutants, drawn by a seed over all places of the modules in targets.py that can be changed; the list is
committed before tests are written against it. `run` tries each with the module's own test file first, then with the
others of its folder, and adds a line to its record; what was interrupted goes on where it stopped. `table` sums up.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import Queue
from typing import Any

from rich.progress import Progress

from tests.bench.mutants.changes import Change, applied, changes
from tests.bench.mutants.running import copy_of_repository, passes, preload
from tests.bench.mutants.targets import ROOT, TARGETS, modules, other_tests, own_test

Line = dict[str, Any]
HERE = Path(__file__).parent
DRAWN = HERE / "drawn.jsonl"
OWN, OTHER, NONE = "own test file", "other tests", "none"


def draw(count: int, seed: int) -> list[Line]:
    """Mutants of all targets, every place as likely as any other, in the order of modules and text."""
    places = [
        (module, change) for module in modules() for change in changes((ROOT / module).read_text(encoding="utf-8"))
    ]
    chosen = sorted(random.Random(seed).sample(range(len(places)), count))
    return [{"module": places[at][0]} | asdict(places[at][1]) for at in chosen]


def noticed_by(repository: Path, mutant: Line, seconds: float) -> str:
    """Try a mutant; returns who noticed it: its module's own test file, other tests, or none."""
    module = mutant["module"]
    change = Change(**{name: mutant[name] for name in ("function", "before", "after", "occurrence")})
    source = (ROOT / module).read_text(encoding="utf-8")
    (repository / module).write_text(applied(source, change), encoding="utf-8")
    try:
        if not passes(repository, (own_test(module),), seconds):
            return OWN
        return NONE if passes(repository, other_tests(module), seconds) else OTHER
    finally:
        (repository / module).write_text(source, encoding="utf-8")


def key(line: Line) -> tuple[Any, ...]:
    """The mutant of a line, whatever became of it."""
    return tuple(line[name] for name in ("module", "function", "before", "after", "occurrence"))


def read(path: Path) -> list[Line]:
    """The lines of a file; none where it is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def run(record: Path, processes: int, seconds: float) -> None:
    """Try the drawn mutants that `record` lacks."""
    done = {key(line) for line in read(record)}
    waiting = [mutant for mutant in read(DRAWN) if key(mutant) not in done]
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    preload()
    copies: Queue[Path] = Queue()

    def one(mutant: Line) -> Line:
        repository, start = copies.get(), time.monotonic()
        try:
            found = noticed_by(repository, mutant, seconds)
        except KeyError:
            found = "gone"
        finally:
            copies.put(repository)
        return mutant | {"noticed_by": found, "seconds": round(time.monotonic() - start, 1), "commit": commit}

    with tempfile.TemporaryDirectory() as temporary, Progress() as shown:
        contexts = [copy_of_repository(Path(temporary) / str(number)) for number in range(processes)]
        for context in contexts:
            copies.put(context.__enter__())
        with ThreadPoolExecutor(processes) as pool, record.open("a", encoding="utf-8") as file:
            for line in shown.track(pool.map(one, waiting), total=len(waiting), description="mutants"):
                file.write(json.dumps(line) + "\n")
                file.flush()


def table(lines: Iterable[Line]) -> str:
    """By folder: mutants, and the share that some test noticed; below, the modules whose own test noticed none."""
    lines = [line for line in lines if line["noticed_by"] != "gone"]
    rows = [
        "| folder | mutants | by its own test file | by other tests | by none | share |",
        "|---|---|---|---|---|---|",
    ]
    for folder in (*TARGETS, "all"):
        found = Counter(line["noticed_by"] for line in lines if folder in (str(Path(line["module"]).parent), "all"))
        total = found.total()
        share = f"{1 - found[NONE] / total:.0%}" if total else ""
        rows.append(f"| {folder} | {total} | {found[OWN]} | {found[OTHER]} | {found[NONE]} | {share} |")
    own = {line["module"] for line in lines if line["noticed_by"] == OWN}
    without = sorted({line["module"] for line in lines} - own)
    return "\n".join([*rows, "", f"Their own test file noticed none of: {', '.join(without) or '-'}."])


def main() -> None:
    """Draw, run or sum up."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("draw", "run", "table"))
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, default=HERE / "record.jsonl")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=300)
    given = parser.parse_args()
    if given.action == "draw":
        lines = draw(given.count, given.seed)
        DRAWN.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    if given.action == "run":
        run(given.record, given.processes, given.seconds)
    if given.action in ("run", "table"):
        print(table(read(given.record)))


if __name__ == "__main__":
    main()
