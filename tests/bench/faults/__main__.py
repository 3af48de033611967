"""`python -m tests.bench.faults`: what becomes of a search when a part of the deployment fails in its middle
(`make bench-faults`).

All parts run as processes of this machine, see `tests/search/service/topology.py`. First a search to which nothing
happens, twice; then, for every fault, the same search under another name. Writes faults.json and prints a table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.faults.runs import Outcome, observe, spec_of
from tests.bench.faults.strikes import MAX_QUEUED, STRIKES, nothing
from tests.conftest import Workplace, make_tiny_data, make_tiny_model, minilm_folder
from tests.search.service.topology import Topology, topology

HELD = ("finished", "records agree", "nothing lost or doubled", "same trials", "same front", "same qualities")
UNDISTURBED = ("first", "undisturbed")
PACKAGES = ("ray", "optuna", "mlflow", "torch", "psycopg")


def held(outcome: Outcome, undisturbed: Outcome) -> dict[str, bool]:
    """What must hold of a search to which something happened."""
    answers = (
        outcome.state == "finished",
        not outcome.complaints,
        outcome.whole,
        outcome.configurations == undisturbed.configurations,
        outcome.points == undisturbed.points,
        outcome.qualities == undisturbed.qualities,
    )
    return dict(zip(HELD, answers, strict=True))


def measure(deployed: Topology, names: list[str], max_steps: int) -> Iterator[dict[str, Any]]:
    """Two rows for the search to which nothing happens, on a cluster that just began and later, and one for each fault.

    Faults are compared with the second.
    """
    first, undisturbed = (observe(deployed, spec_of(deployed, name, max_steps), nothing) for name in UNDISTURBED)
    yield _row("nothing, the cluster just began", first, undisturbed)
    yield _row("nothing", undisturbed, undisturbed)
    for name in names:
        described, strike = STRIKES[name]
        outcome = observe(deployed, spec_of(deployed, name, max_steps), strike)
        yield _row(described, outcome, undisturbed)


def _row(described: str, outcome: Outcome, undisturbed: Outcome) -> dict[str, Any]:
    row = {"fault": described, "longer": outcome.seconds - undisturbed.seconds, "held": held(outcome, undisturbed)}
    print(json.dumps(row | {"complaints": outcome.complaints}), flush=True)
    return row | dataclasses.asdict(outcome)


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Seconds, submissions of the driver, and what held."""
    table = Table(title="a search and what happens in its middle")
    table.add_column("fault")
    for column in ("seconds", "longer", "drivers", *HELD):
        table.add_column(column, justify="right")
    for row in rows:
        numbers = (f"{row['seconds']:.0f}", f"{row['longer']:+.0f}", str(row["submissions"]))
        table.add_row(row["fault"], *numbers, *("yes" if holds else "NO" for holds in row["held"].values()))
    return table


def facts(deployed: Topology, max_steps: int) -> dict[str, Any]:
    """What holds for all rows."""
    commit = subprocess.run(("git", "rev-parse", "--short", "HEAD"), capture_output=True, text=True, check=True).stdout
    return {
        "commit": commit.strip(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "max_steps": max_steps,
        "a network is cut by": "its cable" if deployed.networks.apart else "stopping the node's processes",
    }


def main() -> int:
    """Measure, print and write; 1 when something did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(STRIKES), default=list(STRIKES))
    parser.add_argument("--max-steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("faults.json"))
    parser.add_argument("--folder", type=Path, help="where it all runs; kept")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends as well
    with tempfile.TemporaryDirectory(prefix="paretune-faults-") as made:
        folder = given.folder or Path(made)
        for name in ("work", "data"):
            (folder / name).mkdir(parents=True)
        model = make_tiny_model(folder / "model", minilm_folder())
        place = Workplace(folder / "work", model, make_tiny_data(folder / "data"))
        with topology(place, "--max-queued", str(MAX_QUEUED)) as deployed:
            found, rows = facts(deployed, given.max_steps), []
            for row in measure(deployed, given.only, given.max_steps):
                rows.append(row)
                given.out.write_text(json.dumps({"facts": found, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    Console(width=160).print(table_of(rows))
    return 0 if all(all(row["held"].values()) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
