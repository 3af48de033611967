"""Whether the service, and what it stands on, answers."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from search.service.context import Service, open_problems
from tracking.client import reading

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """It answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: str = "ok"


@router.get("/healthz", summary="Whether the service answers", responses=open_problems())
async def healthz() -> Health:
    """Always so, while the process lives, and however many wait for MLflow."""
    return Health()


@router.get("/readyz", summary="Whether MLflow and Ray answer as well", responses=open_problems(503))
def readyz(service: Service) -> Health:
    """503 names the one that does not."""
    with reading(service.settings.tracking_uri) as client:
        client.search_experiments(max_results=1)
    service.jobs.all()
    return Health()
