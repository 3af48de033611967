"""Routes of health: liveness, readiness, and the description of the metrics."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict

from search.service.dependencies import Service
from search.service.openapi import open_problems
from search.service.problems import Problem
from spaces.errors import RequestError, Unreachable, WorkError
from tracking.mlflow_store.client import reading

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The answer of a healthy service."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: str = "ok"


METRICS: dict[str, Any] = {
    "summary": "Figures for Prometheus",
    "description": "Of the process, of requests, and of searches by their state while MLflow and Ray answer.",
    "response_class": PlainTextResponse,
    "responses": {
        200: {"content": {"text/plain": {"example": 'paretune_searches{state="running"} 1.0\n'}}},
        **open_problems(),
    },
}
"""Keyword arguments of the route of the metrics."""


@router.get("/healthz", summary="Whether the service answers", responses=open_problems())
async def healthz() -> Health:
    """Answers while the process lives, however many requests wait for MLflow."""
    return Health()


@router.get("/readyz", summary="Whether MLflow and Ray answer as well", responses=open_problems(503))
def readyz(service: Service) -> Health:
    """Answers 503 with the name of the one that does not; its address is only in the log."""
    try:
        with reading(service.settings.tracking_uri) as client:
            client.search_experiments(max_results=1)
    except (RequestError, Unreachable, WorkError) as error:
        raise _away("MLflow", error) from None
    try:
        service.jobs.all()
    except WorkError as error:
        raise _away("Ray", error) from None
    return Health()


def _away(name: str, error: Exception) -> Problem:
    logger.warning("not ready: %s", error)
    return Problem(503, f"{name} does not answer", {"Retry-After": "5"})
