"""The result of a search, as a notebook uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.driver.summary import Summary
from spaces.spec.spec import SearchSpec
from tracking.documents.building import best_within
from tracking.documents.schemas import Axis, FrontDocument, FrontPoint, TrialsDocument

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class SearchResult:
    """A search that came to its end, or was ended early.

    Example:
        >>> result = search(spec)  # doctest: +SKIP
        >>> result.front.to_pandas()  # doctest: +SKIP
        >>> result.within(50_000)  # doctest: +SKIP
    """

    spec: SearchSpec
    summary: Summary

    @property
    def name(self) -> str:
        """The name of the search."""
        return self.spec.name

    @property
    def front(self) -> FrontDocument:
        """The front, by the quality of one training each."""
        return self.summary.front

    @property
    def confirmed(self) -> FrontDocument:
        """The front of the confirmed points, by their mean quality over fresh seeds; empty without `confirm`."""
        return self.summary.confirmed

    @property
    def trials(self) -> TrialsDocument:
        """Everything that was trained."""
        return self.summary.trials

    @property
    def ended_early(self) -> str | None:
        """The reason why the search ended before its last trial; None where it did not."""
        return self.summary.ended_early

    @property
    def best(self) -> FrontPoint | None:
        """The trial of best quality, as `export` chooses it; None where no trial beats the head alone."""
        return self.front.best

    @property
    def knee(self) -> FrontPoint | None:
        """The point of best trade between quality and size; None where no trial beats the head alone."""
        return self.front.knee

    def within(self, parameters: int) -> FrontPoint | None:
        """Return the best trial with at most so many trainable parameters, as `export(max_parameters=…)` chooses it.

        None where no trial so small beats the head alone.
        """
        return best_within(self.summary.search, self.summary.rows, parameters)

    def plot(self, *, confirmed: bool = False, axis: Axis = "trainable") -> Figure:
        """Draw the front and all trials as a Plotly figure."""
        from tracking.reports.plots import front_figure

        document = self.confirmed if confirmed else self.front
        return front_figure(document, self.trials, confirmed=confirmed, axis=axis)
