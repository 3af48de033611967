"""A client of the service, in Python: what a route takes and gives, with types. Needs neither torch nor Ray."""

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
    """Speaks to the service at `url`. `token`: else that of the variable PARETUNE_TOKEN; `timeout`: seconds.

    Raises:
        RequestError: from every method, when the request is wrong; in the service's words.
        WorkError: when the service does not answer, or fails.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 60.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        if token := token or os.environ.get(TOKEN):
            self._session.headers["Authorization"] = f"Bearer {token}"

    def launch(self, spec: SearchSpec) -> SearchStatus:
        """Ask for a search; the same one again is the same search."""
        return self._as(SearchStatus, "POST", "/v1/searches", json=_sent(spec))

    def status(self, name: str) -> SearchStatus:
        """How a search stands."""
        return self._as(SearchStatus, "GET", _path(name))

    def searches(
        self, *, limit: int = 50, offset: int = 0, state: Phase | None = None, contains: str = ""
    ) -> SearchPage:
        """What exists, newest first: all, or those in a state, or with a part in their name."""
        chosen = {"limit": limit, "offset": offset, "state": state or "", "contains": contains}
        return self._as(SearchPage, "GET", "/v1/searches", params=chosen)

    def validate(self, spec: SearchSpec) -> ValidateDocument:
        """What a spec would search, checked with its model and its data."""
        return self._as(ValidateDocument, "POST", "/v1/validate", json=_sent(spec))

    def count(self, spec: SearchSpec, method: str, **settings: str | float | bool) -> CountDocument:
        """What a configuration trains and stores."""
        wanted = {"spec": _sent(spec), "method": method, "settings": settings}
        return self._as(CountDocument, "POST", "/v1/count", json=wanted)

    def methods(self) -> MethodsDocument:
        """Methods, their knobs, and what each can do."""
        return self._as(MethodsDocument, "GET", "/v1/methods")

    def stop(self, name: str) -> SearchStatus:
        """End a search cleanly."""
        return self._as(SearchStatus, "POST", f"{_path(name)}/stop")

    def resume(self, name: str) -> SearchStatus:
        """Go on with a search."""
        return self._as(SearchStatus, "POST", f"{_path(name)}/resume")

    def front(self, name: str, *, confirmed: bool = False, axis: Axis = "trainable") -> FrontDocument:
        """The front of a search."""
        chosen = {"confirmed": str(confirmed).lower(), "axis": axis}
        return self._as(FrontDocument, "GET", f"{_path(name)}/front", params=chosen)

    def front_file(self, name: str, file: Path, *, confirmed: bool = False, axis: Axis = "trainable") -> None:
        """Write the front as a table or a picture: `file` ends in .csv, .html or .png."""
        chosen = {"confirmed": str(confirmed).lower(), "axis": axis, "format": file.suffix.removeprefix(".")}
        file.write_bytes(self._asked("GET", f"{_path(name)}/front", params=chosen).content)

    def trials(self, name: str) -> TrialsDocument:
        """Everything that a search trained."""
        return self._as(TrialsDocument, "GET", f"{_path(name)}/trials")

    def compare(self, *names: str, confirmed: bool = False) -> ComparisonDocument:
        """Fronts side by side."""
        chosen = {"name": names, "confirmed": str(confirmed).lower()}
        return self._as(ComparisonDocument, "GET", "/v1/compare", params=chosen)

    def export(self, name: str, wanted: ExportRequest) -> ExportStatus:
        """Have an adapter written.

        Raises:
            WorkError: also when no trial of the search beats the head alone, and none was named.
        """
        path, sent = f"{_path(name)}/exports", wanted.model_dump(mode="json")
        return self._as(ExportStatus, "POST", path, conflict=WorkError, json=sent)

    def exports(self, name: str) -> tuple[ExportStatus, ...]:
        """Every export of a search."""
        return _EXPORTS.validate_json(self._asked("GET", f"{_path(name)}/exports").content)

    def exported(self, name: str, identity: str) -> ExportStatus:
        """How an export stands."""
        return self._as(ExportStatus, "GET", f"{_path(name)}/exports/{quote(identity)}")

    def download(self, name: str, identity: str, file: Path) -> None:
        """Write the zip file of a finished export."""
        path = f"{_path(name)}/exports/{quote(identity)}/download"
        with self._asked("GET", path, stream=True) as answer, file.open("wb") as out:
            for piece in answer.iter_content(_PIECE):
                out.write(piece)

    def wait(self, name: str, every: float = 2.0) -> SearchStatus:
        """Wait until a search has ended, one way or another."""
        while (status := self.status(name)).state in ("queued", "running", "stopping"):
            time.sleep(every)
        return status

    def _as(self, kind: type[M], verb: str, path: str, **request: Any) -> M:
        # A service of a later version may say more.
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
