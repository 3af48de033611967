"""The process that verifies a stock export finds none of our packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from tests.trainables.stock_checks import trained
from tests.trainables.tiny_models import BERT
from trainables.adapters.verification import FILE, save_verification
from trainables.exporting import stock_verification
from trainables.exporting.stock_verification import Blocked

pytestmark = pytest.mark.slow


def test_the_verifying_process_finds_nothing_of_ours(tmp_path: Path) -> None:
    base = AutoModelForSequenceClassification.from_config(BERT.config)
    base.save_pretrained(tmp_path / "base")
    model = trained(BERT, "sparta")
    model.save_pretrained(tmp_path / "native")
    save_verification(model, BERT.inputs(), tmp_path, torch.float32)
    request = {
        "blocked": ["spaces", "trainables"],
        "folder": str(tmp_path / "native"),
        "base": str(tmp_path / "base"),
        "revision": None,
        "model_class": "AutoModelForSequenceClassification",
        "settings": {"num_labels": 3},
        "quantization": {},
        "references": [str(tmp_path / FILE)],
    }
    done = subprocess.run(
        [sys.executable, "-I", str(stock_verification.__file__), json.dumps(request)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SPARTA" in done.stderr
    with pytest.raises(ModuleNotFoundError, match=r"spaces\.errors must not be needed"):
        Blocked(["spaces"]).find_spec("spaces.errors", None)
    assert Blocked(["spaces"]).find_spec("spacesuit", None) is None
