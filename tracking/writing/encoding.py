"""Encode settings as params (strings) and numbers as metrics, the forms that MLflow keeps."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from spaces.spec.spec import SearchSpec
from tracking.mlflow_store.uri import redact
from tracking.writing.events import Log, Metric


def now() -> int:
    """Return the time in milliseconds since the epoch."""
    return int(time.time() * 1000)


def metrics(trial: str | None, values: Mapping[str, float | None], step: int = 0, *, later: int = 0) -> Log:
    """Return an event that logs values as metrics of this moment; those that are None are left out.

    Args:
        trial: the trial of the run; None for that of the search.
        step: of the metrics.
        later: milliseconds that are added to the time, for values that follow others of this moment.
    """
    time = now() + later
    found = (
        Metric(name=name, value=value, time=time, step=step) for name, value in values.items() if value is not None
    )
    return Log(trial=trial, time=time, metrics=tuple(found))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as params with dotted names; values that are not strings are written as JSON.

    Example:
        >>> flatten({"training": {"max_steps": 300}, "method": "lora"})
        {'training.max_steps': '300', 'method': 'lora'}
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = clean(value) if isinstance(value, str) else json.dumps(value)
    return found


def clean(text: str) -> str:
    """Return the text without characters that a database refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def without_passwords(spec: SearchSpec) -> SearchSpec:
    """Return the spec without the passwords of its addresses, for everyone who reads the tracking server."""
    uri, storage = spec.tracking.uri, spec.search.study_storage
    return spec.model_copy(
        update={
            "tracking": spec.tracking.model_copy(update={"uri": uri and redact(uri)}),
            "search": spec.search.model_copy(update={"study_storage": storage and redact(storage)}),
        }
    )
