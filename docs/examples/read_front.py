"""A front read from MLflow into pandas, and drawn with Plotly.

    python docs/examples/read_front.py [NAME] [STORAGE]

NAME: a search; by default `reviews`, which own_search.py makes. STORAGE: the folder of its runs; by default
`own-search/runs`. Loads neither torch nor Ray.
"""

from __future__ import annotations

import sys
from pathlib import Path

import plotly.express as px

import paretune as pt


def main(name: str, storage: Path) -> None:
    """Print the front and the methods that were tried, and write a picture beside the runs."""
    front = pt.front(name, storage=storage)
    points = front.to_pandas()
    points["of_base"] = points["trainable_parameters"] / front.base_parameters
    print(points[["trial", "method", "trainable_parameters", "of_base", "quality"]])

    trials = pt.trials(name, storage=storage).to_pandas()
    print(trials.groupby("method")["quality"].agg(["count", "max"]))

    figure = px.scatter(
        trials, x="trainable_parameters", y="quality", color="method", log_x=True, hover_data=["trial"], title=name
    )
    figure.add_scatter(
        x=points["trainable_parameters"], y=points["quality"], mode="lines", name="front", line_shape="hv"
    )
    file = storage / f"{name}-trials.html"
    figure.write_html(file)
    print(f"wrote {file}")


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "reviews",
        Path(sys.argv[2] if len(sys.argv) > 2 else "own-search/runs"),
    )
