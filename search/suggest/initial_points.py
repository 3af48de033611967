"""Initial points beside the published defaults: configurations from the spec, and fronts of earlier searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import optuna

from search.suggest.study_trials import GIVEN
from spaces.errors import RequestError
from spaces.space.from_settings import Suggestion, suggestion
from spaces.space.proposal import Rejected
from spaces.space.search_space import Space
from spaces.spec.searched_training import PREFIX, settings_of
from spaces.spec.spec import SearchSpec
from spaces.trials.ledger import Ledger
from tracking.queries import front_document


def given_configurations(spec: SearchSpec, space: Space) -> list[Suggestion]:
    """Return the configurations of `search.start_with`.

    Raises:
        RequestError: naming the one that is invalid or outside the budget.
    """
    found = []
    for number, settings in enumerate(spec.search.start_with):
        try:
            found.append(suggestion(space, settings))
        except (RequestError, Rejected) as error:
            raise RequestError(f"search.start_with[{number}]: {error}") from None
    return found


def earlier(spec: SearchSpec, space: Space, uri: str) -> Iterator[Suggestion]:
    """Yield the settings on the fronts of `search.start_from` that fit this search; their tasks may differ from its.

    Raises:
        RequestError: when MLflow knows no such search, or it had another base.
    """
    for name in spec.search.start_from:
        try:
            document = front_document(uri, name)
        except RequestError as error:
            raise RequestError(f"search.start_from: {error}") from None
        if document.base_parameters != space.inventory.base_parameters:
            raise RequestError(
                f"search.start_from: {name} had another base, of {document.base_parameters:,} parameters; "
                f"allowed: searches on the same, of {space.inventory.base_parameters:,}"
            )
        for point in document.front:
            try:
                yield suggestion(space, {"method": point.method, **_meant_here(point.config, space)})
            except (RequestError, Rejected):
                continue  # a method that is not searched here, or a size outside this budget


def _meant_here(settings: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Return the settings without fields of the training that are not varied here; they have this spec's values."""
    return {
        name: value
        for name, value in settings.items()
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX) in space.training
    }


def enqueue(study: optuna.Study, ledger: Ledger, suggestions: Sequence[Suggestion]) -> None:
    """Enqueue the suggestions with which a search begins, where none of its trials is planned yet."""
    if ledger.trials("trial"):
        return
    # An earlier driver may have been killed in the middle of this.
    for one in islice(suggestions, len(study.get_trials(deepcopy=False)), None):
        settings = {"method": one.proposal.method, **one.proposal.settings, **settings_of(one.proposal.training)}
        study.enqueue_trial(dict(one.knobs), user_attrs={GIVEN: settings})
