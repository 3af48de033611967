"""An export: a folder that stands alone, written beside its place, verified in a fresh process, then moved there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from transformers import AutoImageProcessor, AutoTokenizer

from spaces.card import Card
from spaces.errors import RequestError, WorkError
from spaces.sections import ModelSection, Task
from trainables.attach import merged
from trainables.loading import ADAPTER_CONFIG, LABELS, load_export
from trainables.verification import FILE as VERIFICATION
from trainables.verification import saved_dtype

Format = Literal["peft", "merged"]


def export(adapter: Path, out: Path, model: ModelSection, card: Card, form: Format) -> float:
    """Export the trained `adapter` (the artifact folder of a trial) to `out`.

    Returns:
        The largest difference between the saved logits and those of the export, loaded in a fresh process.

    Raises:
        RequestError: when `out` exists and is not an empty folder, or cannot be written.
        WorkError: when the export does not give the saved logits; nothing is left at `out`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"--out {out}: exists already; allowed: a new or empty folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise RequestError(f"--out {out}: cannot be written ({error.strerror})") from None
    try:
        for name in (LABELS, VERIFICATION):
            shutil.copy2(adapter / name, temporary / name)
        if form == "merged":
            merged(load_export(adapter, model, saved_dtype(adapter))).save_pretrained(temporary)
        else:
            for name in (ADAPTER_CONFIG, "adapter_model.safetensors"):
                shutil.copy2(adapter / name, temporary / name)
        _save_preprocessor(model, temporary)
        (temporary / "recipe.yaml").write_text(card.recipe, encoding="utf-8")
        (temporary / "README.md").write_text(card.markdown(form), encoding="utf-8")
        found = verify(temporary, model)
        temporary.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return found


def verify(folder: Path, model: ModelSection) -> float:
    """Load the export in a fresh process and compare its logits with the saved ones.

    Raises:
        WorkError: when they differ by more than rounding explains, or the export cannot be loaded.
    """
    done = subprocess.run(
        [sys.executable, "-m", "trainables.verification", str(folder), model.model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1) or not done.stdout.strip():
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        raise WorkError(f"the export cannot be loaded in a fresh process: {last[0]}")
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if done.returncode:
        raise WorkError(
            f"the export's logits differ by {answer['difference']:.2g} from those of the trial; "
            f"allowed: {answer['allowed']:.2g}"
        )
    return float(answer["difference"])


def _save_preprocessor(model: ModelSection, folder: Path) -> None:
    source = Path(model.path).expanduser()
    kind = AutoImageProcessor if model.task is Task.IMAGE_CLASSIFICATION else AutoTokenizer
    kind.from_pretrained(
        str(source) if source.is_dir() else model.path, revision=model.revision, trust_remote_code=False
    ).save_pretrained(folder)
