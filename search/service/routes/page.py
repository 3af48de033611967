"""Routes of the page: its static files, and Plotly's script from the installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import plotly
from fastapi import APIRouter
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse

from search.service.problems import Problem

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "page"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


@router.get("/")
def index() -> FileResponse:
    """Return the document of the page, which shows what its fragment names."""
    return FileResponse(FOLDER / "index.html")


@router.get("/assets/{name}")
def asset(name: Annotated[str, PathParameter(pattern=r"^[a-z][a-z.-]*\.(js|css|svg)$")]) -> FileResponse:
    """Return a file of the page."""
    path = PLOTLY if name == PLOTLY.name else FOLDER / name
    if not path.is_file():
        raise Problem(404, f"{name}: no file of the page")
    return FileResponse(path)
