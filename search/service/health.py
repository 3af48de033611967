"""Whether the service, and what it stands on, answers."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from search.service.context import Service, problems
from tracking.client import reading

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """It answers."""

    status: str = "ok"


@router.get("/healthz", summary="Whether the service answers")
def healthz() -> Health:
    """Always so, while the process lives."""
    return Health()


@router.get("/readyz", summary="Whether MLflow and Ray answer as well", responses=problems())
def readyz(service: Service) -> Health:
    """503 names the one that does not."""
    with reading(service.settings.tracking_uri) as client:
        client.search_experiments(max_results=1)
    service.jobs.all()
    return Health()
