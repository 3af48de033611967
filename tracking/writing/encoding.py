"""Settings and numbers in the forms that MLflow keeps: strings as params, numbers as metrics."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from spaces.spec.spec import SearchSpec
from tracking.mlflow_store.uri import redact
from tracking.writing.events import Log, Metric


def now() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


def metrics(trial: str | None, values: Mapping[str, float | None], step: int = 0) -> Log:
    """Values as metrics of one moment; what is none is left out."""
    time = now()
    found = (
        Metric(name=name, value=value, time=time, step=step) for name, value in values.items() if value is not None
    )
    return Log(trial=trial, time=time, metrics=tuple(found))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as params with dotted names; what is not a string is written as JSON."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = clean(value) if isinstance(value, str) else json.dumps(value)
    return found


def clean(text: str) -> str:
    """The text without what a database refuses: NUL characters and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def without_passwords(spec: SearchSpec) -> SearchSpec:
    """The spec as it may be shown to everyone who reads the tracking server."""
    uri, storage = spec.tracking.uri, spec.search.study_storage
    return spec.model_copy(
        update={
            "tracking": spec.tracking.model_copy(update={"uri": uri and redact(uri)}),
            "search": spec.search.model_copy(update={"study_storage": storage and redact(storage)}),
        }
    )
