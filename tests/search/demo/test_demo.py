"""The demo, up to where it would begin to work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import runpy, sys
from search.demo import word_order

def look(folder):
    from huggingface_hub.constants import HF_HUB_OFFLINE
    sys.exit(f"offline: {HF_HUB_OFFLINE}")

word_order.write_word_order = look
runpy.run_module("search.demo", run_name="__main__")
"""


@pytest.mark.slow
def test_no_hub_is_asked(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "offline: True"
