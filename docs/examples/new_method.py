"""A method from a package of one's own: described, counted and searched like a built-in one.

    pip install --no-deps ./docs/examples/paretune_road
    python docs/examples/new_method.py [MODEL] [FOLDER]

MODEL and FOLDER as for own_search.py. The package `paretune_road` beside this file is the whole method: its settings
and count, its tuner, and the two entry points by which paretune finds them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from own_search import default_model, reviews_spec

import paretune as pt


def main(model: str, folder: Path) -> None:
    """Describe, count and search the method `road`."""
    (road,) = pt.methods("road").methods
    print(f"{road.name}: {road.summary} ({road.source}); settings: {', '.join(knob.name for knob in road.knobs)}")

    spec = reviews_spec(model, folder, "with-road", ["road", "lora"])
    counted = pt.count(spec, "road", targets="qv", layers="last")
    print(f"on queries and values of the last block it trains {counted.trainable_parameters:,} parameters")

    result = pt.search(spec)
    print(result.trials.to_pandas()[["trial", "method", "state", "trainable_parameters", "quality"]])


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else default_model(),
        Path(sys.argv[2] if len(sys.argv) > 2 else "own-search"),
    )
