"""`python -m tests.bench.mutants`: which small changes of the code no test notices (`make mutants`).

`draw` lists mutants, drawn by a seed over all places of the modules in targets.py that can be changed; the list is
committed before tests are written against it. `run` first runs the tests without a mutant, which must pass; then it
tries each mutant with the module's own test file, and those left with the others near it. Each answer is a line of the
record, of which the last one counts; what was interrupted goes on where it stopped. `table` sums up two records, before
and after tests were added. Mutants that change nothing that a caller could see are in equivalent.jsonl, with the
reason.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.bench.mutants.changes import Change, applied, changes
from tests.bench.mutants.running import copy_of_repository, passes, preload
from tests.bench.mutants.targets import ROOT, TARGETS, modules, other_tests, own_tests

Line = dict[str, Any]
HERE = Path(__file__).parent
DRAWN = HERE / "drawn.jsonl"
EQUIVALENT = HERE / "equivalent.jsonl"
OWN, OTHER, NONE = "own tests", "other tests", "none"
UNKNOWN, GONE = "not its own tests", "the code has changed"


def draw(count: int, seed: int) -> list[Line]:
    """Mutants of all targets, every place as likely as any other, in the order of modules and text."""
    places = [
        (module, change) for module in modules() for change in changes((ROOT / module).read_text(encoding="utf-8"))
    ]
    chosen = sorted(random.Random(seed).sample(range(len(places)), count))
    return [{"module": places[at][0]} | asdict(places[at][1]) for at in chosen]


class Bench:
    """A copy of the repository on which mutants are tried, one after the other."""

    def __init__(self, repository: Path, seconds: float) -> None:
        self.repository = repository
        self.seconds = seconds
        self._sound: set[tuple[str, ...]] = set()

    def by_own(self, mutant: Line) -> str:
        """Try a mutant on its module's own tests; returns who noticed it."""
        return UNKNOWN if self._passes(mutant, own_tests(mutant["module"])) else OWN

    def by_others(self, mutant: Line) -> str:
        """Try a mutant, which its module's own tests did not notice, on the others."""
        (own,) = own_tests(mutant["module"])
        others = other_tests(mutant["module"])
        return NONE if others == (own,) or self._passes(mutant, others, without=own) else OTHER

    def _passes(self, mutant: Line, tests: tuple[str, ...], without: str = "") -> bool:
        """Run tests on a mutant, and before their first run once without one.

        Raises:
            RuntimeError: A test fails without a mutant; it would count as noticing every one.
        """
        if tests not in self._sound:
            if not passes(self.repository, tests, 4 * self.seconds, keep=True):
                raise RuntimeError(f"tests fail without a mutant: {' '.join(tests)}")
            self._sound.add(tests)
        path = self.repository / mutant["module"]
        source = path.read_text(encoding="utf-8")
        path.write_text(applied(source, Change(*key(mutant)[1:])), encoding="utf-8")
        try:
            return passes(self.repository, tests, self.seconds, without=without)
        finally:
            path.write_text(source, encoding="utf-8")


def key(line: Line) -> tuple[Any, ...]:
    """The mutant of a line, whatever became of it."""
    return tuple(line[name] for name in ("module", "function", "before", "after", "occurrence"))


def read(path: Path) -> list[Line]:
    """The lines of a file; none where it is not there."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def latest(lines: Iterable[Line]) -> dict[tuple[Any, ...], Line]:
    """The last line of each mutant."""
    return {key(line): line for line in lines}


def run(record: Path, seconds: float, drawn: Sequence[Line], *, own_only: bool) -> None:
    """Try the drawn mutants of which `record` does not know who noticed them."""
    commit = subprocess.run(
        ("git", "rev-parse", "--short", "HEAD"), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    preload()
    with tempfile.TemporaryDirectory() as temporary, copy_of_repository(Path(temporary) / "copy") as repository:
        bench = Bench(repository, seconds)
        for before, attempt in ((None, bench.by_own), (UNKNOWN, bench.by_others))[: 1 if own_only else 2]:
            answered = {mutant: line["noticed_by"] for mutant, line in latest(read(record)).items()}
            for mutant in [mutant for mutant in drawn if answered.get(key(mutant)) == before]:
                start = time.monotonic()
                try:
                    found = attempt(mutant)
                except KeyError:
                    found = GONE
                line = mutant | {"noticed_by": found, "seconds": round(time.monotonic() - start, 1), "commit": commit}
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                print(f"{found}: {mutant['module']} {mutant['function']}: {mutant['after']}", flush=True)


def table(before: Iterable[Line], after: Iterable[Line], equivalent: Iterable[Line]) -> str:
    """By folder, the mutants that tests noticed.

    Args:
        before: Lines of the record before tests were added.
        after: Lines of the one after; a mutant that it lacks stays as it was.
        equivalent: Mutants that no test can notice.

    Returns:
        A table in Markdown; below it, the modules whose own tests noticed none.
    """
    first = {mutant: line for mutant, line in latest(before).items() if line["noticed_by"] != GONE}
    last = first | {mutant: line for mutant, line in latest(after).items() if line["noticed_by"] != GONE}
    same = {key(line) for line in equivalent}
    rows = [
        "| folder | mutants | equivalent | noticed before | after | by own tests | share | without equivalent |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for folder in (*TARGETS, "all"):
        those = [mutant for mutant in last if folder in (str(Path(mutant[0]).parent), "all")]
        noticed = [mutant for mutant in those if last[mutant]["noticed_by"] in (OWN, OTHER)]
        earlier = sum(mutant in first and first[mutant]["noticed_by"] in (OWN, OTHER) for mutant in those)
        own = sum(last[mutant]["noticed_by"] == OWN for mutant in noticed)
        none = len(same.intersection(those))
        shares = (_share(len(noticed), len(those)), _share(len(noticed), len(those) - none))
        numbers = (len(those), none, earlier, len(noticed), own, *shares)
        rows.append(f"| {folder} | {' | '.join(map(str, numbers))} |")
    own_noticed = {mutant[0] for mutant, line in last.items() if line["noticed_by"] == OWN}
    without = sorted({mutant[0] for mutant in last} - own_noticed)
    return "\n".join([*rows, "", f"Their own tests noticed none of: {', '.join(without) or '-'}."])


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else ""


def main() -> None:
    """Draw, run or sum up."""
    os.environ["OMP_NUM_THREADS"] = "1"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("draw", "run", "table"))
    parser.add_argument("--count", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", type=Path, default=HERE / "after.jsonl")
    parser.add_argument("--before", type=Path, default=HERE / "before.jsonl")
    parser.add_argument("--only", choices=("all", "noticed", "unnoticed"), default="all", help="of the record before")
    parser.add_argument("--every", type=int, default=1, help="try each n-th of these only")
    parser.add_argument("--module", default="", help="try only mutants of modules whose path contains this")
    parser.add_argument("--tests", choices=("own", "all"), default="all", help="own: not those of other modules")
    parser.add_argument("--seconds", type=float, default=300, help="a mutant whose tests take longer is noticed")
    given = parser.parse_args()
    if given.action == "draw":
        lines = draw(given.count, given.seed)
        DRAWN.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    if given.action == "run":
        earlier = latest(read(given.before))
        noticed = {mutant for mutant, line in earlier.items() if line["noticed_by"] in (OWN, OTHER)}
        wanted = {"all": (True, False), "noticed": (True,), "unnoticed": (False,)}[given.only]
        drawn = [line for line in read(DRAWN) if (key(line) in noticed) in wanted and given.module in line["module"]]
        run(given.record, given.seconds, drawn[:: given.every], own_only=given.tests == "own")
    if given.action in ("run", "table"):
        print(table(read(given.before), read(given.record), read(EQUIVALENT)))


if __name__ == "__main__":
    main()
