"""A real MLflow server in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.search.processes import wait_for
from tests.tracking.examples import WITHOUT_JOBS


def serve(folder: Path, port: int, store: str | None = None) -> subprocess.Popen[bytes]:
    """A real MLflow server, once it answers; on SQLite unless `store` names another database."""
    store = store or f"sqlite:///{folder}/server.db"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", store, "--artifacts-destination", f"{folder}/artifacts"),
        ],
        cwd=folder,
        env={**os.environ, **WITHOUT_JOBS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: answers(port))
    return process


def answers(port: int) -> bool:
    """Whether MLflow is up: its port is open before, and it says that it is healthy before it looked for its store."""
    asked = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        with urllib.request.urlopen(asked, timeout=60) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, 9)
    process.wait()
