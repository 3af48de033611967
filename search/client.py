"""A typed HTTP client of the service; it loads neither torch nor Ray."""

from __future__ import annotations

import os
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from pydantic import BaseModel, TypeAdapter

from search.documents.commands import CountDocument, MethodsDocument, ValidateDocument
from search.documents.service import ExportRequest, ExportStatus, Phase, SearchPage, SearchStatus
from spaces.errors import RequestError, WorkError
from spaces.spec.spec import SearchSpec
from tracking.documents.schemas import Axis, ComparisonDocument, FrontDocument, TrialsDocument

M = TypeVar("M", bound=BaseModel)

TOKEN = "PARETUNE_TOKEN"
_PIECE = 1 << 20
_EXPORTS = TypeAdapter(tuple[ExportStatus, ...])


class Client:
    """A client of the service at `url`.

    Args:
        url: such as http://127.0.0.1:8080.
        token: by default that of the environment variable PARETUNE_TOKEN.
        timeout: seconds to wait for an answer.

    Raises:
        RequestError: from every method, when the request is wrong; the message is the service's.
        WorkError: from every method, when the service does not answer, or fails.

    Example:
        >>> client = Client("http://127.0.0.1:8080")  # doctest: +SKIP
        >>> client.wait(client.launch(spec).search).state  # doctest: +SKIP
        'finished'
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        if token := token or os.environ.get(TOKEN):
            self._session.headers["Authorization"] = f"Bearer {token}"

    def launch(self, spec: SearchSpec) -> SearchStatus:
        """Launch a search; the same spec again is the same search."""
        return self._as(SearchStatus, "POST", "/v1/searches", json=_sent(spec))

    def status(self, name: str) -> SearchStatus:
        """Return the state of a search, its counts and its best points."""
        return self._as(SearchStatus, "GET", _path(name))

    def searches(
        self, *, limit: int = 50, offset: int = 0, state: Phase | None = None, contains: str = ""
    ) -> SearchPage:
        """Return searches, newest first: all, those in `state`, or those whose name contains `contains`."""
        chosen = {"limit": limit, "offset": offset, "state": state or "", "contains": contains}
        return self._as(SearchPage, "GET", "/v1/searches", params=chosen)

    def validate(self, spec: SearchSpec) -> ValidateDocument:
        """Check a spec with its model and its data, and describe the search."""
        return self._as(ValidateDocument, "POST", "/v1/validate", json=_sent(spec))

    def count(self, spec: SearchSpec, method: str, **settings: str | float | bool) -> CountDocument:
        """Count what a configuration trains and stores."""
        wanted = {"spec": _sent(spec), "method": method, "settings": settings}
        return self._as(CountDocument, "POST", "/v1/count", json=wanted)

    def methods(self) -> MethodsDocument:
        """Describe the methods: their knobs and their capabilities."""
        return self._as(MethodsDocument, "GET", "/v1/methods")

    def stop(self, name: str) -> SearchStatus:
        """Ask a search to end cleanly."""
        return self._as(SearchStatus, "POST", f"{_path(name)}/stop")

    def resume(self, name: str) -> SearchStatus:
        """Go on with a search."""
        return self._as(SearchStatus, "POST", f"{_path(name)}/resume")

    def front(self, name: str, *, confirmed: bool = False, axis: Axis = "trainable") -> FrontDocument:
        """Return the front of a search."""
        chosen = {"confirmed": str(confirmed).lower(), "axis": axis}
        return self._as(FrontDocument, "GET", f"{_path(name)}/front", params=chosen)

    def front_file(self, name: str, file: Path, *, confirmed: bool = False, axis: Axis = "trainable") -> None:
        """Write the front as a table or a picture: `file` ends in .csv, .html or .png."""
        chosen = {"confirmed": str(confirmed).lower(), "axis": axis, "format": file.suffix.removeprefix(".")}
        file.write_bytes(self._asked("GET", f"{_path(name)}/front", params=chosen).content)

    def trials(self, name: str) -> TrialsDocument:
        """Return everything that a search trained."""
        return self._as(TrialsDocument, "GET", f"{_path(name)}/trials")

    def compare(self, *names: str, confirmed: bool = False) -> ComparisonDocument:
        """Return fronts side by side."""
        chosen = {"name": names, "confirmed": str(confirmed).lower()}
        return self._as(ComparisonDocument, "GET", "/v1/compare", params=chosen)

    def export(self, name: str, wanted: ExportRequest) -> ExportStatus:
        """Order an export; the same choice again is the same export.

        Raises:
            WorkError: also when no trial of the search beats the head alone, and none was named.
        """
        path, sent = f"{_path(name)}/exports", wanted.model_dump(mode="json")
        return self._as(ExportStatus, "POST", path, conflict=WorkError, json=sent)

    def exports(self, name: str) -> tuple[ExportStatus, ...]:
        """Return every export of a search."""
        return _EXPORTS.validate_json(self._asked("GET", f"{_path(name)}/exports").content)

    def exported(self, name: str, identity: str) -> ExportStatus:
        """Return the state of an export."""
        return self._as(ExportStatus, "GET", f"{_path(name)}/exports/{quote(identity)}")

    def download(self, name: str, identity: str, file: Path) -> None:
        """Write the zip file of a finished export to `file`."""
        path = f"{_path(name)}/exports/{quote(identity)}/download"
        with self._asked("GET", path, stream=True) as answer, file.open("wb") as out:
            for piece in answer.iter_content(_PIECE):
                out.write(piece)

    def wait(self, name: str, every: float = 2.0) -> SearchStatus:
        """Wait until a search is finished, stopped or failed; ask again after `every` seconds."""
        while (status := self.status(name)).state in ("queued", "running", "stopping"):
            time.sleep(every)
        return status

    def _as(self, kind: type[M], verb: str, path: str, **request: Any) -> M:
        # A later version of the service may send more fields.
        return kind.model_validate_json(self._asked(verb, path, **request).content, extra="ignore")

    def _asked(
        self, verb: str, path: str, conflict: type[RequestError | WorkError] = RequestError, **request: Any
    ) -> requests.Response:
        try:
            answer = self._session.request(verb, f"{self._url}{path}", timeout=self._timeout, **request)
        except requests.RequestException as error:
            raise WorkError(f"--server {self._url}: does not answer ({type(error).__name__})") from None
        if answer.ok:
            return answer
        try:
            said = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            said = f"HTTP {answer.status_code}; allowed: the address of a paretune service"
        if answer.status_code == HTTPStatus.CONFLICT:
            raise conflict(said)
        raise (WorkError if answer.status_code >= 500 else RequestError)(said)


def _sent(spec: SearchSpec) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_unset=True)


def _path(name: str) -> str:
    return f"/v1/searches/{quote(name, safe='')}"
